"""`volt net status`: the one screen to look at in the morning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from ...control.messages.network import STATUS, ClosedPort, NetStatus
from ...control.method import Nothing
from ..command import command
from ..output import Column, bullets, fields, section, table
from ..session import Session
from .firewall import deadline_text
from .list import COLUMNS

CLOSED: Sequence[Column[ClosedPort]] = (
    ("PROTO", lambda each: each.protocol),
    ("ADDRESS", lambda each: each.address),
    ("PORT", lambda each: each.port),
    ("PROCESS", lambda each: each.process),
)


@command("status", examples=("volt net status", "volt net status -o json"))
def status(ctx: typer.Context) -> None:
    """Show the state of networks, forwarding, firewall and DNS, and every problem."""
    session = Session.of(ctx)
    found = session.call(STATUS, Nothing())
    session.show(found, lambda: _text(found, session.colour))


def _text(found: NetStatus, colour: bool) -> str:
    firewall, dns = found.firewall, found.dns
    inbound = firewall.host_inbound + " (settling)" * firewall.settling
    text = table(found.networks, COLUMNS, colour=colour) + "\n"
    text += fields(
        (
            ("Forwarding", found.forwarding),
            ("Firewall", firewall.state),
            ("Host inbound", inbound),
            ("Dropped", _counts(firewall.drops)),
            ("DNS", dns.listening if dns.enabled else "off"),
            ("Upstreams", dns.upstreams),
            ("Queries", _counts(dns.counters)),
        )
    )
    if found.unconfirmed is not None:
        waiting = found.unconfirmed
        text += fields((("Unconfirmed", f"{waiting.change}; {deadline_text(waiting)}"),))
    if found.closed_ports:
        closed = table(found.closed_ports, CLOSED)
        text += section("Ports that something listens on, closed to the outside", closed)
    return text + bullets("Problems", found.problems)


def _counts(counters: Mapping[str, int]) -> str:
    """What has happened at all; `-o json` has every counter."""
    return ", ".join(f"{name} {number}" for name, number in counters.items() if number) or "none"


COMMAND = status
