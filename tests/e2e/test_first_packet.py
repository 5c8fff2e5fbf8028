"""A workload is reachable from the first moment, also for those who asked too early."""

from __future__ import annotations

import time

import pytest

from tests.support.host import Host

pytestmark = pytest.mark.kernel


def test_who_asked_in_vain_does_not_wait_for_the_next_try(running: Host) -> None:
    """The host has asked for the address of a stopped workload; it starts; the answer is there.

    Without help the kernel asks again a second after it asked in vain, every time.
    """
    running.connect("volt0", "other")  # a bridge without any port has no carrier
    waits = [wait_of_an_early_bird(running, f"web{number}") for number in range(3)]
    print(f"answered {min(waits) * 1000:.0f} ms after the start")
    assert min(waits) < 0.5


def wait_of_an_early_bird(host: Host, name: str) -> float:
    """Seconds from the start of workload `name` to the answer to a ping that was sent before."""
    address = host.call("net.connect", network="volt0", workload=name)["ip"]
    early = host.start("ping", "-c", "1", "-W", "5", address)
    time.sleep(0.2)  # it has asked, and nobody answered: that is the situation
    host.add_workload(name)
    began = time.monotonic()
    assert early.wait(10) == 0
    return time.monotonic() - began
