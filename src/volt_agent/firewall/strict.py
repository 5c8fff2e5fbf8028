"""Strict ports: those that get frames from other ports only if these bear their own address.

A policy or rule about a workload looks at its addresses. A broadcast, a multicast, or a frame for
its MAC with an address that only the workload itself knows (of a bridge inside it) bears none of
them, and would come in around it. So ports that a policy isolates are strict towards everybody, and
those that are denied to somebody towards that one. Only TCP needs no strictness: it has no
broadcast, and does not come about one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..model.firewall import Policy, Rule
from .ruleset import Element
from .spelling import Place, Spelling


def strict_elements(each: Rule | Policy, spelling: Spelling) -> Iterator[Element]:
    """What keeps the ports of its target to frames that the rule or policy can see."""
    target = each.dest if isinstance(each, Rule) else each.target
    if target.kind != "workload" or not _needs_strictness(each):
        return
    places = spelling.places[target.name]
    for _network, interface, address in places:
        if address is not None:
            yield Element("strict-addresses", f"{interface} . {address}")
    if each.action != "allow" and each.source.kind == "workload":
        yield from _pairs(spelling.places[each.source.name], places)
    else:
        yield from (Element("strict-ports", interface) for _, interface, _ in places)


def _needs_strictness(each: Rule | Policy) -> bool:
    if each.action == "allow":  # isolates, whatever it is that it allows
        return True
    return each.action != "accept" and each.protocol != "tcp" and each.source.kind != "outside"


def _pairs(sources: Iterable[Place], targets: Iterable[Place]) -> Iterator[Element]:
    for network, source, _ in sources:
        for other, target, _ in targets:
            if network == other:
                yield Element("strict-pairs", f"{source} . {target}")
