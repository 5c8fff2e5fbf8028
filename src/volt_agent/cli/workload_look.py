"""What `volt doctor WORKLOAD [PEER]` asks the agent, real attempts at connections included."""

from __future__ import annotations

from contextlib import suppress

from ..control.messages import container, ingress, names, policy
from ..control.messages.container import WorkloadDetail, WorkloadName
from ..control.messages.names import Answer, QueryName
from ..control.messages.policy import AskPolicy
from ..control.messages.port import TRANSPORTS, Forward, Transport
from ..control.method import Nothing
from ..errors import VoltError
from .arguments import one_of
from .session import Session
from .workload_checks import Attempted, PairFindings, WorkloadFindings

# Each attempt that nobody answers takes two seconds.
_TRIED_MAX = 8


def transport(word: str | None) -> Transport:
    """The value of `--proto`. Raises Invalid."""
    return one_of("--proto", word or "tcp", TRANSPORTS)


def look_at_workload(session: Session, name: str) -> WorkloadFindings:
    """Raises NotFound for a workload that there is not."""
    one = _inspect(session, name)
    return WorkloadFindings(
        workload=one,
        named=_told(session, name, None),
        forwarded=_forwards_tried(session, one),
        routes=session.call(ingress.LIST, Nothing()),
    )


def look_at_pair(
    session: Session, source: str, target: str, port: str | None, proto: Transport
) -> PairFindings:
    """Raises NotFound for a workload that there is not, Invalid for a port that is none."""
    ends = _inspect(session, source), _inspect(session, target)
    if port is None:
        what, asked = f"ping from {source} to {target}", AskPolicy(source, target, None, "icmp")
    else:
        what = f"{source} to {target}, port {port}/{proto}"
        asked = AskPolicy(source, target, port, proto)
    return PairFindings(
        source=ends[0],
        target=ends[1],
        named=_told(session, target, source),
        tried=[_tried(session, what, asked, all(one.state == "running" for one in ends))],
    )


def _inspect(session: Session, name: str) -> WorkloadDetail:
    return session.call(container.INSPECT, WorkloadName(name=name))


def _told(session: Session, name: str, asker: str | None) -> Answer | None:
    with suppress(VoltError):
        return session.call(names.QUERY, QueryName(name=name, workload=asker))
    return None


def _forwards_tried(session: Session, one: WorkloadDetail) -> list[Attempted]:
    """From the host, which the default policy lets reach every workload."""
    found, seen = list[Attempted](), set[tuple[str, str]]()
    for each in one.forwards:
        place = (each.target_port, each.proto)
        is_range = not each.target_port.isdigit()
        if each.status != "active" or is_range or place in seen or len(seen) >= _TRIED_MAX:
            continue
        seen.add(place)
        asked = AskPolicy("host", one.name, each.target_port, each.proto)
        found.append(_tried(session, _words(each), asked, True))
    return found


def _words(forward: Forward) -> str:
    return f"port {forward.host_port}/{forward.proto} to {forward.target}:{forward.target_port}"


def _tried(session: Session, what: str, asked: AskPolicy, live: bool) -> Attempted:
    """Judged; and if allowed tried, where that can be done (not from within virtual machines)."""
    answer = session.call(policy.TEST, asked)
    if live and answer.verdict == "ALLOWED":
        again = AskPolicy(asked.source, asked.target, asked.port, asked.proto, live=True)
        with suppress(VoltError):
            return Attempted(what, session.call(policy.TEST, again))
    return Attempted(what, answer)
