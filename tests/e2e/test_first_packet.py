"""A workload is reachable from the first moment, also for those who asked too early."""

from __future__ import annotations

import time

import pytest

from tests.support.host import Host

pytestmark = pytest.mark.kernel


def test_who_asked_in_vain_does_not_wait_for_the_next_try(running: Host) -> None:
    """The host has asked for the address of a stopped workload; it starts; the answer is there.

    Without help the kernel would ask again a second after it asked in vain.
    """
    running.connect("volt0", "other")  # a bridge without any port has no carrier
    address = running.call("net.connect", network="volt0", workload="web")["ip"]
    ping = ["ping", "-c", "1", "-W", "3", address]
    early = running.start(*ping)
    time.sleep(0.2)  # it has asked, and nobody answered: that is the situation
    running.add_workload("web")
    began = time.monotonic()
    assert early.wait(5) == 0
    waited = time.monotonic() - began
    print(f"answered {waited * 1000:.0f} ms after the start")
    assert waited < 0.5
    assert "received, 0% packet loss" in running.run(*ping).stdout
