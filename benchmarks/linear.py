"""The ruleset that most tools make: one rule for each object, asked one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import crowd
from tests.firewall.property.world import NETWORKS, PLACES

_ANN, _CAT = PLACES[0].address, next(p.address for p in PLACES if p.workload == "cat")


def ruleset(count: int) -> str:
    """The meaning of `crowd.objects(count)` and the default policy, as text for nft.

    What lets the measured traffic through stands in the middle, as it would on average.
    """
    bridges = ", ".join(f'"{net.bridge}"' for net in NETWORKS)
    same = "\n".join(f'iifname "{n.bridge}" oifname "{n.bridge}" accept' for n in NETWORKS)
    forwards, rules, policies = (list(make(count)) for make in (_forwards, _rules, _policies))
    forwards.insert(len(forwards) // 2, f"tcp dport 8080 dnat ip to {_ANN}:80")
    policies.insert(len(policies) // 2, f"ip saddr {_ANN} ip daddr {_CAT} tcp dport 80 accept")
    return f"""
table inet linear {{
	chain pre {{
		type nat hook prerouting priority dstnat
		fib daddr type local jump forwards
	}}
	chain forwards {{
{_lines(forwards)}
	}}
	chain post {{
		type nat hook postrouting priority srcnat
		iifname {{ {bridges} }} oifname != {{ {bridges} }} masquerade
	}}
	chain forward {{
		type filter hook forward priority filter
		ct state vmap {{ established : accept, related : accept }}
		jump rules
		jump policies
{same}
		ct status dnat accept
		drop
	}}
	chain rules {{
{_lines(rules)}
	}}
	chain policies {{
{_lines(policies)}
	}}
}}
"""


def _lines(rules: list[str]) -> str:
    return "\n".join(f"\t\t{each}" for each in rules)


def _forwards(count: int) -> Iterator[str]:
    for number in range(count // 3):
        made = crowd.forward(number)
        yield f"tcp dport {made.ports} dnat ip to {crowd.address(number)}:{made.target_port}"


def _rules(count: int) -> Iterator[str]:
    for number in range(count // 3):
        made = crowd.rule(number)
        source, target = (crowd.address(int(peer.name[1:])) for peer in (made.source, made.dest))
        yield f"ip saddr {source} ip daddr {target} tcp dport {made.ports[0]} drop"


def _policies(count: int) -> Iterator[str]:
    for number in range(count // 3):
        made = crowd.policy(number)
        source, target = (crowd.address(int(peer.name[1:])) for peer in (made.source, made.target))
        yield f"ip saddr {source} ip daddr {target} tcp dport {made.ports[0]} accept"
