"""What `volt doctor WORKLOAD [PEER]` looks at: each check is a plain function on what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from ..control.messages.container import WorkloadDetail
from ..control.messages.ingress import Route
from ..control.messages.names import Answer
from ..control.messages.policy import PolicyAnswer
from .checks import Line

_SHOWN = 5  # names in one line


class Attempted(Struct, frozen=True):
    """A connection that was judged and tried; `what` says which in words."""

    what: str
    answer: PolicyAnswer


class WorkloadFindings(Struct, frozen=True, kw_only=True):
    """What was seen of `workload`. `named` is what the host is told about its name, None if DNS is
    off. `forwarded` are attempts from the host at the targets of its active forwards. `routes` are
    those of the ingress that lead to it."""

    workload: WorkloadDetail
    named: Answer | None = None
    forwarded: list[Attempted] = []
    routes: list[Route] = []


class PairFindings(Struct, frozen=True, kw_only=True):
    """What was seen between two. `named` is what `source` is told about the name of `target`, None
    if DNS is off; `tried` are the attempts, one for each protocol or port that was asked for."""

    source: WorkloadDetail
    target: WorkloadDetail
    named: Answer | None = None
    tried: list[Attempted] = []


def examine_workload(found: WorkloadFindings) -> list[Line]:
    """One line or more for each check, in the order of the checks."""
    return [line for check in CHECKS for line in check(found)]


def _state(found: WorkloadFindings) -> Iterator[Line]:
    one = found.workload
    if one.state == "running":
        yield Line("workload", "ok", f"{one.name} runs ({one.kind}, {one.runtime})")
    elif one.state == "stopped":
        yield Line("workload", "warn", f"{one.name} does not run", "start it with its runtime")
    else:
        hint = "start it: volt attaches it then. Is the name right? `volt ps`"
        yield Line("workload", "warn", f"{one.name} was never seen running", hint)
    for each in one.problems:
        yield Line("workload", "fail", each)


def _networks(found: WorkloadFindings) -> Iterator[Line]:
    one = found.workload
    if not one.networks:
        hint = f"volt net list; volt net connect NETWORK {one.name}"
        yield Line("networks", "fail", f"{one.name} is on no network", hint)
    for each in one.networks:
        if one.state == "running" and each.interface is None:
            hint = f"volt net inspect {each.network} says what is in the way"
            yield Line("networks", "fail", f"not attached to {each.network}", hint)
        elif one.state == "running" and each.ip is None:
            hint = "volt net lease list; does it run a DHCP client on that interface?"
            yield Line("networks", "warn", f"no address on {each.network} yet", hint)
        else:
            port = f" by {each.interface}" if each.interface else ""
            yield Line("networks", "ok", f"{each.ip or 'no address'} on {each.network}{port}")


def _inside(found: WorkloadFindings) -> Iterator[Line]:
    """What the workload itself has, where that can be looked at."""
    one = found.workload
    present = {each.name: each for each in one.interfaces}
    for place in one.networks:
        name = one.inside.get(place.network)
        if name is None or place.ip is None or not present:
            continue
        link, mend = present.get(name), "volt mends it within a second; who takes it away again?"
        if link is None:
            yield Line("inside", "fail", f"{name} is gone inside {one.name}", mend)
        elif not link.up:
            yield Line("inside", "fail", f"{name} is down inside {one.name}", mend)
        elif place.ip not in (each.partition("/")[0] for each in link.addresses):
            yield Line("inside", "fail", f"{name} has not the address {place.ip} inside", mend)
        else:
            yield Line("inside", "ok", f"{name} is up and has {place.ip}")


def _name(found: WorkloadFindings) -> Iterator[Line]:
    one, answer = found.workload, found.named
    if answer is None or one.state != "running":
        return
    told = [each.data for each in answer.records]
    own = [each.ip for each in one.networks if each.ip]
    if set(told) & set(own):
        yield Line("names", "ok", f"{answer.name} is {', '.join(told)}")
    elif own:
        said = ", ".join(told) or answer.status
        hint = f"volt net dns query {answer.name} says why"
        yield Line("names", "fail", f"{answer.name} is answered with {said}", hint)


def _policies(found: WorkloadFindings) -> Iterator[Line]:
    one = found.workload
    places = {one.name, *(each.network for each in one.networks)}
    allowed = [each for each in one.policies if each.action == "allow" and each.target in places]
    denied = [each for each in one.policies if each.action == "deny" and each.target in places]
    if allowed:
        sources = _few(sorted({each.source for each in allowed}))
        message = f"isolated: of other workloads only {sources} may reach it"
        yield Line("policies", "ok", f"{message} ({_few([each.name for each in allowed])})")
    for each in denied:
        yield Line("policies", "ok", f"{each.source} may not reach it ({each.name})")
    closing = [each for each in one.rules if each.action != "accept"]
    if closing:
        word = "rules drop or reject" if len(closing) > 1 else "rule drops or rejects"
        message = f"{len(closing)} {word} some of its traffic"
        yield Line("policies", "ok", f"{message}: volt container inspect {one.name}")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _forwards(found: WorkloadFindings) -> Iterator[Line]:
    for each in found.workload.forwards:
        if each.status != "active":
            message = f"port {each.host_port}/{each.proto} is {each.status}"
            yield Line("forwards", "warn", message, "it works once the workload has its address")
    for tried in found.forwarded:
        yield _attempt_line("forwards", tried, "does anything listen there, and on 0.0.0.0?")


def _routes(found: WorkloadFindings) -> Iterator[Line]:
    own = found.workload.name
    for route in found.routes:
        for each in route.backends:
            if each.address.rpartition(":")[0] != own:
                continue
            if each.status in ("unhealthy", "pending"):
                reason = f": {each.reason}" if each.reason else ""
                message = f"route {route.name}: {each.address} is {each.status}{reason}"
                yield Line("ingress", "warn", message, "volt ingress list")
            else:
                yield Line("ingress", "ok", f"route {route.name}: {each.address} is {each.status}")


CHECKS: Sequence[Callable[[WorkloadFindings], Iterator[Line]]] = (
    _state,
    _networks,
    _inside,
    _name,
    _policies,
    _forwards,
    _routes,
)


def examine_pair(found: PairFindings) -> list[Line]:
    """Whether the first of two finds and reaches the second."""
    return [*_shared(found), *_told(found), *_reached(found)]


def _shared(found: PairFindings) -> Iterator[Line]:
    one, other = found.source, found.target
    theirs = {each.network for each in other.networks}
    shared = [each.network for each in one.networks if each.network in theirs]
    if shared:
        yield Line("networks", "ok", f"both are on {', '.join(shared)}")
    else:
        message = f"{one.name} and {other.name} share no network"
        hint = f"volt net connect NETWORK {one.name}, or open the way with a policy"
        yield Line("networks", "warn", message, hint)


def _told(found: PairFindings) -> Iterator[Line]:
    answer, one, other = found.named, found.source, found.target
    if answer is None or other.state != "running":
        return
    told = [each.data for each in answer.records]
    if set(told) & {each.ip for each in other.networks}:
        yield Line("names", "ok", f"{one.name} is told {other.name} is {', '.join(told)}")
    else:
        said = ", ".join(told) or answer.status
        hint = f"volt net dns query {other.name} --from {one.name} says why"
        yield Line("names", "warn", f"{one.name} asks for {other.name} and is told {said}", hint)


def _reached(found: PairFindings) -> Iterator[Line]:
    for tried in found.tried:
        yield _attempt_line("connection", tried, f"does it listen? volt doctor {found.target.name}")


def _attempt_line(check: str, tried: Attempted, hint: str) -> Line:
    answer = tried.answer
    if answer.verdict == "DENIED":
        message = f"{tried.what}: denied by {answer.by} ({answer.reason})"
        port = f" --port {answer.port}" if answer.port else ""
        allow = f"volt net policy create --name NAME --from {answer.source} --to {answer.target}"
        return Line(check, "warn", message, f"{allow}{port} --action allow")
    if answer.live is None:
        return Line(check, "ok", f"{tried.what}: allowed by {answer.by}")
    if answer.live.agrees is False:
        message = f"{tried.what}: allowed, but {answer.live.outcome}"
        return Line(check, "fail", message, "another firewall? `volt doctor` names it; or: " + hint)
    if "answered" in answer.live.outcome:
        return Line(check, "ok", f"{tried.what}: {answer.live.outcome}")
    return Line(check, "warn", f"{tried.what}: allowed, but {answer.live.outcome}", hint)
