"""What rules and policies have matched, put together from the counters of their elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from ..kernel.nft_keys import key_bytes
from ..kernel.nft_listing import Counted
from ..model.firewall import Policy, Rule
from ..model.snapshot import Snapshot
from .compile import Fragment
from .elements import set_named
from .generated import is_generated
from .ruleset import Element

Counts = Mapping[str, Mapping[bytes, Counted]]  # by set and key


class Hits(Struct, frozen=True):
    """Packets and bytes by name, since the ruleset was last loaded.

    They count first packets: those of a connection that is established pass before any rule.
    """

    rules: Mapping[str, Counted] = {}
    policies: Mapping[str, Counted] = {}


def hits(
    snapshot: Snapshot, fragment_of: Callable[[Rule | Policy], Fragment], counts: Counts
) -> Hits:
    """Of two rules that share an element the earlier one counts."""
    taken: set[Element] = set()

    def total(objects: Iterable[Rule | Policy]) -> dict[str, Counted]:
        ordered = sorted(objects, key=lambda each: each.sequence)
        return {each.name: _sum(fragment_of(each), counts, taken) for each in ordered}

    return Hits(total(snapshot.rules.values()), total(snapshot.policies.values()))


def _sum(fragment: Fragment, counts: Counts, taken: set[Element]) -> Counted:
    packets = size = 0
    for element in fragment:
        if element in taken or not is_generated(element.set):
            continue
        taken.add(element)
        found = counts.get(element.set, {}).get(key_bytes(element.key, set_named(element.set).key))
        if found is not None:
            packets, size = packets + found.packets, size + found.bytes
    return Counted(packets, size)
