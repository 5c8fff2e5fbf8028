"""What `volt doctor` looks at: each check is a plain function on what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from .. import __version__
from ..control.messages.agent import AgentStatus
from ..control.messages.certificate import Certificate
from ..control.messages.ingress import Route
from ..control.messages.names import Answer, DnsEntry
from ..control.messages.network import NetStatus
from ..control.messages.port import Forward
from ..control.messages.vlan import Vlan
from .output import counted

State = Literal["ok", "warn", "fail"]

# Below the first a database or log soon fails, below the second it is time to look.
DISK_FAIL, DISK_WARN = 16 * 2**20, 128 * 2**20
# The loop answers names and requests in between: ten times its bound under load.
LAG_WARN_MS = 100.0
# How the agent begins problems that the list of certificates has, too.
CERTIFICATE_PROBLEM = "ingress: certificate"


class Line(Struct, frozen=True):
    """The result of one check; `hint` is what to do about it."""

    check: str
    state: State
    message: str
    hint: str | None = None


class Findings(Struct, frozen=True, kw_only=True):
    """What was seen. `upstream` is the answer for the root zone, None if DNS is off or has no
    upstreams. `resolved` is what the host's own resolver says about `names[0]`, None: nothing.
    `disk_free` is in bytes, None: unknown. `dhcp` are the addresses with a DHCP server, None:
    unknown."""

    agent: AgentStatus
    net: NetStatus
    forwards: list[Forward] = []
    routes: list[Route] = []
    vlans: list[Vlan] = []
    certificates: list[Certificate] = []
    names: list[DnsEntry] = []
    upstream: Answer | None = None
    resolved: str | None = None
    disk_free: int | None = None
    dhcp: frozenset[str] | None = None


def examine(found: Findings) -> list[Line]:
    """One line or more for each check, in the order of the checks."""
    return [line for check in CHECKS for line in check(found)]


def _agent(found: Findings) -> Iterator[Line]:
    agent = found.agent
    hint = "the lines below say why" if agent.problems else "wait a moment"
    if agent.state == "ready":
        yield Line("agent", "ok", f"answers, and is ready (process {agent.pid})")
    else:
        yield Line("agent", "warn", f"answers, but is {agent.state}", hint)
    if agent.loop_lag_p99_ms > LAG_WARN_MS:
        message = f"its loop lags {agent.loop_lag_p99_ms:.0f} ms (p99 of the last minute)"
        yield Line("agent", "warn", message, "the host is overloaded: see `top`")


def _version(found: Findings) -> Iterator[Line]:
    theirs = found.agent.version
    if theirs == __version__:
        yield Line("version", "ok", f"volt and the agent are {theirs}")
    else:
        message = f"volt is {__version__}, the agent {theirs}"
        yield Line("version", "warn", message, "systemctl restart volt-agent")


def _forwarding(found: Findings) -> Iterator[Line]:
    if found.net.forwarding:
        yield Line("forwarding", "ok", "net.ipv4.ip_forward is on")
    else:
        message = "net.ipv4.ip_forward is off: nothing leaves or crosses networks"
        yield Line("forwarding", "fail", message, "volt tune sysctl set net.ipv4.ip_forward 1")


def _firewall(found: Findings) -> Iterator[Line]:
    if found.net.firewall.state == "loaded":
        yield Line("firewall", "ok", "volt's tables are loaded")
    else:
        hint = "volt loads them again within seconds; if not: systemctl restart volt-agent"
        yield Line("firewall", "fail", "volt's tables are not loaded", hint)
    waiting = found.net.unconfirmed
    if waiting is not None:
        message = f"unconfirmed, and rolled back at {waiting.deadline}: {waiting.change}"
        yield Line("firewall", "warn", message, "volt net firewall confirm")


def _networks(found: Findings) -> Iterator[Line]:
    for each in found.net.networks:
        if each.status != "up":
            hint = f"volt net inspect {each.name}"
            yield Line("networks", "fail", f"{each.name} is {each.status}", hint)
    if all(each.status == "up" for each in found.net.networks):
        yield Line("networks", "ok", f"{len(found.net.networks)} up")


def _vlans(found: Findings) -> Iterator[Line]:
    for each in found.vlans:
        if each.problem is not None or each.status != "up":
            reason = f": {each.problem}" if each.problem else ""
            message = f"{each.name} is {each.status}{reason}"
            state: State = "warn" if each.status == "up" else "fail"
            yield Line("vlans", state, message, "volt net vlan list; ip -d link")
    if found.vlans and all(each.status == "up" and not each.problem for each in found.vlans):
        yield Line("vlans", "ok", f"{len(found.vlans)} up")


def _problems(found: Findings) -> Iterator[Line]:
    """What the agent says itself: foreign firewalls that drop, a missing br_netfilter, busy ports,
    repairs that fail. What other checks say is not said twice."""
    said = ("net.ipv4.ip_forward is off", "volt's firewall tables are not", CERTIFICATE_PROBLEM)
    every = dict.fromkeys((*found.net.problems, *found.agent.problems))
    problems = [each for each in every if not each.startswith(said)]
    for each in problems:
        yield Line("problems", "fail", each)
    if not problems:
        yield Line("problems", "ok", "the agent has none")


def _dns(found: Findings) -> Iterator[Line]:
    dns = found.net.dns
    if not dns.enabled:
        yield Line("dns", "warn", "off", "network.dns.enabled in the configuration")
        return
    silent = [each.name for each in found.net.networks if each.gateway not in dns.listening]
    if silent:
        message = f"nobody answers names on {', '.join(silent)}"
        yield Line("dns", "fail", message, "`ss -lunp sport = :53` shows who has the port")
    else:
        count = len(dns.listening)
        yield Line("dns", "ok", f"answers on {counted(count, 'network')}")


def _upstream(found: Findings) -> Iterator[Line]:
    dns, answer = found.net.dns, found.upstream
    if not dns.enabled:
        return
    if not dns.upstreams:
        hint = "name servers in network.dns.upstream, then: volt agent reload"
        yield Line("upstream", "warn", "none: only names of workloads are answered", hint)
    elif answer is None or answer.status not in ("NOERROR", "NXDOMAIN"):
        hint = f"check network.dns.upstream in {found.agent.config}, and the way to it"
        servers = ", ".join(dns.upstreams)
        yield Line("upstream", "fail", f"no upstream server answers: {servers}", hint)
    else:
        yield Line("upstream", "ok", "upstream servers answer")


def _names(found: Findings) -> Iterator[Line]:
    if not found.names:
        yield Line("names", "ok", "no workload has a name yet")
        return
    entry = found.names[0]
    if found.resolved == entry.address:
        yield Line("names", "ok", f"the host finds {entry.name}")
        return
    told = f"as {found.resolved}" if found.resolved else "not at all"
    hint = "to have the host ask volt: docs/names.md (workloads ask it anyway)"
    yield Line("names", "warn", f"the host finds {entry.name} {told}", hint)


def _dhcp(found: Findings) -> Iterator[Line]:
    if found.dhcp is None:
        return
    without = [each.name for each in found.net.networks if each.gateway not in found.dhcp]
    if without:
        message = f"nobody leases addresses on {', '.join(without)}"
        yield Line("dhcp", "warn", message, "`ss -lunp sport = :67` shows who has the port")
    else:
        yield Line("dhcp", "ok", "leases addresses on every network")


def _forwards(found: Findings) -> Iterator[Line]:
    idle = [each for each in found.forwards if each.status != "active"]
    for each in idle:
        message = f"port {each.host_port}/{each.proto} to {each.target} is {each.status}"
        yield Line("forwards", "warn", message, "`volt ps` shows whether the target runs")
    if not idle:
        yield Line(
            "forwards",
            "ok",
            f"{counted(len(found.forwards), 'port forward')}, all active"
            if found.forwards
            else "none",
        )


def _ingress(found: Findings) -> Iterator[Line]:
    """Busy ports are among the problems."""
    is_well = True
    for route in found.routes:
        for each in route.backends:
            if each.status in ("unhealthy", "pending"):
                is_well = False
                message = f"route {route.name}: {each.address} is {each.status}"
                reason = f": {each.reason}" if each.reason else ""
                yield Line("ingress", "warn", message + reason, "volt ingress list")
    if is_well:
        yield Line("ingress", "ok", counted(len(found.routes), "route"))


def _certificates(found: Findings) -> Iterator[Line]:
    """What failed, and what preflight saw that need not stop an order."""
    is_well = True
    for each in found.certificates:
        if each.state == "failed":
            is_well = False
            state: State = "warn" if each.status.startswith("valid") else "fail"
            hint = f"volt ingress cert inspect {each.host}"
            if each.tls == "auto":
                hint = f"once it is solved: volt ingress cert renew {each.host} --force"
            yield Line("certificates", state, f"{each.host}: {_trouble(each)}", hint)
        for warning in each.warnings:
            is_well = False
            named = warning if each.host in warning else f"{each.host}: {warning}"
            yield Line("certificates", "warn", named)
    if is_well:
        issuing = sum(each.state == "issuing" for each in found.certificates)
        parts = ((len(found.certificates) - issuing, "valid"), (issuing, "on order"))
        counts = ", ".join(f"{number} {word}" for number, word in parts if number)
        yield Line("certificates", "ok", counts or "none")


def _trouble(certificate: Certificate) -> str:
    """The state in words, which for files of the user say nothing of the reason."""
    if certificate.tls == "auto" or not certificate.reason:
        return certificate.status
    return certificate.reason


def _closed_ports(found: Findings) -> Iterator[Line]:
    for each in found.net.closed_ports:
        message = f"{each.process or 'something'} listens on {each.protocol} port {each.port}"
        hint = "if it is meant to be reached: volt net firewall add, or network.firewall.host_allow"
        yield Line("closed ports", "warn", f"{message}, closed to the outside", hint)
    if not found.net.closed_ports:
        yield Line("closed ports", "ok", "nothing listens on a port that is closed to the outside")


def _disk(found: Findings) -> Iterator[Line]:
    free, place = found.disk_free, found.agent.state_dir
    if free is None:
        return
    state: State = "fail" if free < DISK_FAIL else "warn" if free < DISK_WARN else "ok"
    hint = None if state == "ok" else "free some: changes that cannot be stored are refused"
    yield Line("disk", state, f"{free / 2**20:,.0f} MiB free in {place}", hint)


CHECKS: Sequence[Callable[[Findings], Iterator[Line]]] = (
    _agent,
    _version,
    _forwarding,
    _firewall,
    _networks,
    _vlans,
    _problems,
    _dns,
    _upstream,
    _names,
    _dhcp,
    _forwards,
    _ingress,
    _certificates,
    _closed_ports,
    _disk,
)
