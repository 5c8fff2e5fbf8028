"""`volt net status`: the one screen to look at in the morning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import typer

from ...control.messages.network import STATUS, ClosedPort, Counts, NetStatus
from ...control.method import Nothing
from ..command import command
from ..output import Column, bullets, counted, fields, section, table
from ..session import Session
from ..status import no_problems
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
    session.show(found, lambda: _text(found, session))


def _text(found: NetStatus, session: Session) -> str:
    text = table(found.networks, COLUMNS, colour=session.colour) + "\n"
    text += fields([*_facts(found), *no_problems(found.problems)])
    if found.closed_ports:
        closed = table(found.closed_ports, CLOSED)
        text += section("Ports that something listens on, closed to the outside", closed)
    return text + bullets("Problems", found.problems, session.width)


def _facts(found: NetStatus) -> Iterator[tuple[str, object]]:
    firewall, dns = found.firewall, found.dns
    inbound = firewall.host_inbound + " (settling)" * firewall.settling
    yield "Workloads", _workloads(found.counts)
    yield "Asked for", _asked_for(found.counts)
    yield "Forwarding", found.forwarding
    yield "Firewall", firewall.state
    yield "Host inbound", inbound
    if found.unconfirmed is not None:
        yield "Unconfirmed", f"{found.unconfirmed.change}; {deadline_text(found.unconfirmed)}"
    yield "Dropped", _counts(firewall.drops)
    yield "DNS", dns.listening if dns.enabled else "off"
    yield "Upstreams", dns.upstreams
    yield "Queries", _counts(dns.counters)


def _workloads(counts: Counts) -> str:
    """By state, those that there are; `volt ps` names them."""
    states = {each: getattr(counts, each) for each in ("running", "stopped", "pending")}
    return ", ".join(f"{number} {state}" for state, number in states.items() if number) or "none"


def _asked_for(counts: Counts) -> str:
    """What users have made; each is in the list of its group."""
    made = (
        (counts.rules, "rule", "rules"),
        (counts.policies, "policy", "policies"),
        (counts.forwards, "port forward", "port forwards"),
        (counts.routes, "ingress route", "ingress routes"),
        (counts.vlans, "VLAN", "VLANs"),
    )
    return ", ".join(counted(*each) for each in made if each[0]) or "no rules, policies or routes"


def _counts(counters: Mapping[str, int]) -> str:
    """What has happened at all; `-o json` has every counter."""
    return ", ".join(f"{name} {number}" for name, number in counters.items() if number) or "none"


COMMAND = status
