"""Finished replies by view and packet, indexed by owner name so that a change drops them at once.

Reading is mostly not here: a listener looks into its view's dictionary of tails itself, which costs
it one look-up. This is the book-keeping behind it: what is kept for which name, how much in all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet

from .reply import Tail

# What a view has ready: the packet without its id -> the reply without its id.
Tails = dict[bytes, bytes | Tail]


def find_tail(tails: Tails, packet: bytes, now: float) -> bytes | None:
    """The finished reply to `packet`, without its id, in the asker's mix of upper and lower case.

    Tails are kept for names in lower case.
    """
    end = _name_end(packet)
    name = packet[12:end]
    found = tails.get(packet[2:12] + name.lower() + packet[end:])
    tail = found.at(now) if isinstance(found, Tail) else found
    return None if tail is None else tail[:10] + name + tail[end - 2 :]


def _name_end(packet: bytes) -> int:
    """The offset behind the name in the question; of a packet that is not well-formed, any."""
    at = 12
    while at < len(packet) and packet[at]:
        at += packet[at] + 1
    return at + 1


class TailCache:
    """Bounds what is kept and knows where, by owner name (lower case, wire form).

    At most `limit` tails in all: the names that were asked for first go first. At most `per_name`
    for one name, because a name can be asked for in any number of ways (each letter in two cases):
    whoever tries them all pushes out his own tails and nobody else's. The second bound also keeps
    `drop` short, whatever strangers do.
    """

    def __init__(self, limit: int, per_name: int) -> None:
        self._limit = limit
        self._per_name = per_name
        self._places: OrderedDict[bytes, list[tuple[Tails, bytes]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<TailCache [{self._count} of {self._limit} tails, {len(self._places)} names]>"

    def keep(self, tails: Tails, key: bytes, name: bytes, tail: bytes | Tail) -> None:
        """Put `tail` into `tails` under `key`; it is about `name`."""
        if key in tails:
            tails[key] = tail
            return
        places = self._places.get(name)
        if places is not None and len(places) >= self._per_name:
            self.drop(name)
        if self._count >= self._limit:
            self.drop(next(iter(self._places)))
        self._places.setdefault(name, []).append((tails, key))
        self._count += 1
        tails[key] = tail

    def drop_all(self, names: AbstractSet[bytes]) -> int:
        """Drop everything about `names`, of which most have nothing here; how many tails it was."""
        return sum(map(self.drop, self._places.keys() & names))

    def drop(self, name: bytes) -> int:
        """Drop everything about `name`; returns how many tails that were."""
        places = self._places.pop(name, ())
        for tails, key in places:
            tails.pop(key, None)
        self._count -= len(places)
        return len(places)

    def clear(self) -> int:
        """Drop everything; returns how many tails that were."""
        dropped, self._count = self._count, 0
        for places in self._places.values():
            for tails, key in places:
                tails.pop(key, None)
        self._places.clear()
        return dropped
