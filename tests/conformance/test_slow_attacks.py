"""Slow clients in numbers (slowhttptest): everybody else is served meanwhile, and they are shed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.conformance.conftest import ECHO, JUDGES
from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.web import get

ATTACKER = str(JUDGES / "slow" / "usr" / "bin" / "slowhttptest")
CONNECTIONS = 200
SHED_WITHIN = 30.0  # seconds
ATTACKS = {
    "slow heads": ("-H", "-i", "2"),
    "slow bodies": ("-B", "-i", "2", "-s", "1000000"),
    "slow readers": ("-X", "-w", "10", "-y", "20", "-n", "5", "-z", "5", "-k", "3"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_slow_clients_hinder_nobody(site: Host, attack: str) -> None:
    """Of 200 none is left after 30 s, and a normal client is answered all the time."""
    process = site.start(
        ATTACKER, *ATTACKS[attack], "-c", str(CONNECTIONS), "-r", "200", "-l", "60", "-v", "1",
        "-u", f"http://{HOST_ADDRESS}/large", where="outside", stdout=-1, stderr=-1,
    )  # fmt: skip
    began = time.monotonic()
    wait_until(lambda: connections(site) > CONNECTIONS // 2, "the attack is on", 15)
    times: list[float] = []
    while connections(site) > 1:
        times.append(ask(site))
        assert time.monotonic() - began < 60, "nobody is shed"
    lasted = time.monotonic() - began
    process.end()
    print(f"\n{attack}: all {CONNECTIONS} shed within {lasted:.1f} s; meanwhile", end=" ")
    print(f"{len(times)} requests answered, the slowest in {max(times) * 1e3:.0f} ms")
    assert lasted < SHED_WITHIN
    assert max(times) < 2


def connections(site: Host) -> int:
    found: Sequence[int] = [site.call("ingress.status")["connections"]]
    return found[0]


def ask(site: Host) -> float:
    """How long a normal client waits for its answer."""
    began = time.monotonic()
    assert " 200 " in get(site, ECHO).splitlines()[0]
    return time.monotonic() - began
