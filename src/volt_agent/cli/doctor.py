"""`volt doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ..control.messages import agent, certificate, ingress, names, network, port, vlan
from ..control.messages.names import Answer, DnsEntry, QueryName
from ..control.method import Nothing
from ..errors import Invalid, VoltError
from .checks import Findings, Line, examine
from .command import command
from .complete import workload_names
from .output import coloured, printable, wrapped
from .session import Session
from .workload_checks import examine_pair, examine_workload
from .workload_look import look_at_pair, look_at_workload, transport

# The host's resolver may be one that nobody answers: glibc tries for many times as long.
RESOLVE_WITHIN = 3.0
_DHCP_PORT = 67
_COLOURS = {"ok": "ready", "warn": "degraded", "fail": "failed"}


_WORKLOAD = typer.Argument(
    metavar="WORKLOAD", help="Look at this one.", autocompletion=workload_names
)
_PEER = typer.Argument(
    metavar="PEER", help="And whether it finds and reaches this one.", autocompletion=workload_names
)


@command(
    "doctor",
    examples=(
        "volt doctor",
        "volt doctor -q",
        "volt doctor api-server",
        "volt doctor api-server db-primary --port 5432",
        "volt doctor -o json",
    ),
)
def doctor(
    ctx: typer.Context,
    workload: Annotated[str | None, _WORKLOAD] = None,
    peer: Annotated[str | None, _PEER] = None,
    to_port: Annotated[
        str | None, typer.Option("--port", metavar="PORT", help="Of PEER. Default: a ping.")
    ] = None,
    proto: Annotated[
        str | None, typer.Option("--proto", metavar="tcp|udp", help="Of --port. Default: tcp.")
    ] = None,
) -> None:
    """Look for what is wrong with the host, with WORKLOAD, or between WORKLOAD and PEER.

    Says what to do about it. -q leaves out what is well. The exit status is 1 if something has
    failed; a warning alone is 0.
    """
    if (to_port is not None or proto is not None) and peer is None:
        raise Invalid("--port and --proto are about the way to PEER", "volt doctor WORKLOAD PEER")
    session = Session.of(ctx)
    lines, agent_answers = _examined(session)
    if workload is not None:
        lines = [each for each in lines if each.state == "fail"]
    if workload is not None and agent_answers:
        lines += examine_workload(look_at_workload(session, workload))
    if workload is not None and peer is not None and agent_answers:
        lines += examine_pair(look_at_pair(session, workload, peer, to_port, transport(proto)))
    session.show(lines, lambda: "".join(line_text(each, session) for each in lines))
    if any(each.state == "fail" for each in lines):
        raise typer.Exit(1)


def _examined(session: Session) -> tuple[list[Line], bool]:
    """The lines about the host, and whether there is an agent to ask further."""
    try:
        return examine(_look(session)), True
    except VoltError as error:
        return [Line("agent", "fail", error.message, error.hint)], False


def _look(session: Session) -> Findings:
    """Ask the agent, and look at the host where the agent says nothing."""
    status = session.call(agent.STATUS, Nothing())
    net = session.call(network.STATUS, Nothing())
    entries = [each for each in session.call(names.LIST, Nothing()) if each.type == "A"]
    return Findings(
        agent=status,
        net=net,
        forwards=session.call(port.LIST, Nothing()),
        routes=session.call(ingress.LIST, Nothing()),
        vlans=session.call(vlan.LIST, Nothing()),
        certificates=session.call(certificate.LIST, Nothing()),
        names=entries,
        upstream=_asked_upstream(session, net),
        resolved=_resolved(entries),
        disk_free=_free(status.state_dir),
        dhcp=_dhcp_servers(),
    )


def _asked_upstream(session: Session, net: network.NetStatus) -> Answer | None:
    """What the upstreams say about the root, which every resolver knows."""
    if not net.dns.enabled or not net.dns.upstreams:
        return None
    with suppress(VoltError):
        return session.call(names.QUERY, QueryName(name=".", type="NS"))
    return None


def _resolved(entries: list[DnsEntry]) -> str | None:
    """The address that the host's own programs get for the first of volt's names."""
    found = list[str]()

    def ask() -> None:
        with suppress(OSError):
            answer = socket.getaddrinfo(entries[0].name, None, socket.AF_INET)
            found.append(str(answer[0][4][0]))

    if entries:
        # A daemon: nothing can end getaddrinfo(3), and the process should not wait for it.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(RESOLVE_WITHIN)
    return found[0] if found else None


def _free(path: str) -> int | None:
    try:
        room = os.statvfs(path)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize


def _dhcp_servers() -> frozenset[str] | None:
    """The local addresses with UDP port 67 open (proc(5), /proc/net/udp: in host byte order)."""
    try:
        rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    except OSError:
        return None
    places = [row.split()[1].split(":") for row in rows]
    return frozenset(
        socket.inet_ntoa(bytes.fromhex(address)[::-1])
        for address, number in places
        if int(number, 16) == _DHCP_PORT
    )


def line_text(line: Line, session: Session) -> str:
    """As people see it: the hint below what it is about. Nothing of what is well with -q."""
    if session.quiet and line.state == "ok":
        return ""
    code = coloured(_COLOURS[line.state], session.colour)
    state = code.replace(_COLOURS[line.state], f"{line.state:<4}")
    said = wrapped(
        f"{line.state:<4}  {line.check:<12}  {printable(line.message)}", session.width, 20
    )
    text = said.replace(f"{line.state:<4}", state, 1)
    if line.hint:
        text += wrapped(f"{'':20}{printable(line.hint)}", session.width, 20)
    return text


COMMAND = doctor
