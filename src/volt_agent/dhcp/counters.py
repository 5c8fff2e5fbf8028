"""What the DHCP server counts. Plain integers, read by whoever exports them."""

from __future__ import annotations

from .message import Kind


class Counters:
    """Totals since the start. `received` and `sent` are by message type."""

    __slots__ = (
        "exhausted",
        "foreign",
        "limited",
        "malformed",
        "received",
        "sent",
        "silent",
        "unsent",
    )

    def __init__(self) -> None:
        self.received = dict.fromkeys(Kind, 0)
        self.sent = dict.fromkeys(Kind, 0)
        self.malformed = 0  # no DHCP, or nothing that a client says
        self.foreign = 0  # of no port that volt knows, or by another hardware address than its own
        self.limited = 0  # more than one port may ask in a moment
        self.silent = 0  # for another server, or about a lease that the client does not have
        self.exhausted = 0  # no address was left
        self.unsent = 0  # replies that the kernel did not take

    def __repr__(self) -> str:
        shown = ", ".join(f"{key} {value}" for key, value in self.as_dict().items() if value)
        return f"<Counters [{shown or 'nothing yet'}]>"

    def as_dict(self) -> dict[str, int]:
        """By what happened: `received_discover`, `sent_ack`, `exhausted`, ..."""
        found = {
            f"{way}_{kind.name.lower()}": count
            for way in ("received", "sent")
            for kind, count in getattr(self, way).items()
        }
        plain = [each for each in self.__slots__ if each not in ("received", "sent")]
        return found | {each: getattr(self, each) for each in plain}
