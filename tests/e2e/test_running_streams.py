"""Connections that run: an unrelated change does not touch them, a revocation cuts them at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

STREAMS = 1000
PORT = 7000
RATE = 2  # lines per second and stream; the control stream has CONTROL_RATE
CONTROL_RATE = 100
# 100 ms are promised (`make test` prints what was seen with -s); these are guards: what is not cut
# goes on for good.
CUT_WITHIN, PAUSE_MS = 5.0, 1000 / RATE + 5000

Call = Callable[[Host], None]


def _policy_way(host: Host) -> None:
    way = {"from": "client", "to": "server"}
    host.call("net.policy.create", name="way", port=PORT, proto="tcp", action="allow", **way)


def _rule_way(host: Host) -> None:
    ends = {"source": "client", "dest": "server"}
    host.call("net.firewall.add", name="way", proto="tcp", port=PORT, action="accept", **ends)


def _forward_way(host: Host) -> None:
    host.call("net.port.add", host_port=PORT, target="server", target_port=PORT)


def _deny(host: Host) -> None:
    denied = {"from": "client", "to": "server"}
    host.call("net.policy.create", name="no", action="deny", **denied)


# How the way is opened, how it is closed, who connects, to which host, and by how many streams.
WAYS: dict[str, tuple[Call, Call, str, int]] = {
    "policy": (_policy_way, lambda h: h.call("net.policy.delete", name="way"), "client", STREAMS),
    "rule": (_rule_way, lambda h: h.call("net.firewall.delete", name="way"), "client", 100),
    "forward": (
        _forward_way,
        lambda h: h.call("net.port.delete", host_port=PORT),
        "outside",
        STREAMS,
    ),
    "deny": (_policy_way, _deny, "client", 100),
}


@pytest.fixture(scope="module")
def networks(lasting: Host) -> dict[str, str]:
    """`client` and `friend` on the default network, `server` and `other` on another."""
    host = lasting
    host.call("net.create", name="backend", subnet="10.30.0.0/24")
    addresses = host.connect("volt0", "client", "friend") | host.connect(
        "backend", "server", "other"
    )
    for name in addresses:
        host.traffic.serve(name, tcp=[PORT])
    # While conntrack learns what runs on a host in use, a connection that was cut may revive.
    wait_until(lambda: not host.call("net.status")["firewall"]["settling"], "settled")
    return addresses


@pytest.mark.parametrize("way", WAYS)
def test_streams_live_on_and_are_cut(lasting: Host, networks: dict[str, str], way: str) -> None:
    """Half of the streams are sessions, in the other half only the server sends."""
    host, (opened, closed, source, count) = lasting, WAYS[way]
    opened(host)
    target = HOST_ADDRESS if source == "outside" else networks["server"]
    streams = [_start(host, ("session", "download")[n % 2], source, target) for n in range(count)]
    control = _start(host, "session", "client", networks["friend"], CONTROL_RATE)
    host.traffic.await_progress([*streams, control])

    _change_what_is_unrelated(host)
    host.traffic.await_progress([*streams, control], 2)

    began = time.monotonic()
    closed(host)
    answered = time.monotonic()
    # By then each stream would have had two more lines, if any could get through.
    host.traffic.await_progress([control], 2 * CONTROL_RATE // RATE)
    reports = [host.traffic.stop_stream(each) for each in streams]
    last = max(each["last"] for each in reports)
    print(f"{way}: {count} streams cut {(last - began) * 1000:.0f} ms after the command began, "
          f"{(last - answered) * 1000:.0f} ms after its answer")  # fmt: skip
    assert last - began < CUT_WITHIN
    assert host.traffic.stop_stream(control)["longest_gap_ms"] < PAUSE_MS
    for each in host.call("net.policy.list"):
        host.call("net.policy.delete", name=each["name"])


def _start(host: Host, kind: str, source: str, target: str, rate: float = RATE) -> int:
    how: dict[str, Any] = {"source": source, "target": target, "port": PORT, "rate": rate}
    return host.traffic.start_stream(kind, **how)


def _change_what_is_unrelated(host: Host) -> None:
    """Rules, policies and forwards of others come and go."""
    ends = {"from": "friend", "to": "other"}
    host.call("net.firewall.add", name="aside", source="friend", dest="other", action="drop")
    host.call("net.policy.create", name="aside", action="deny", **ends)
    host.call("net.port.add", host_port=8000, target="other", target_port=PORT)
    host.call("net.port.delete", host_port=8000)
    host.call("net.policy.delete", name="aside")
    host.call("net.firewall.delete", name="aside")
