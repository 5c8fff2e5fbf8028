"""A workload is reachable from the first moment, also for those who asked too early."""

from __future__ import annotations

import time

import pytest

from tests.support.host import Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

# Until the kernel asks again for an address that nobody has answered for. It is one second, which a
# busy machine may take for anything; with these, who is answered has not waited for it.
ASKS_AGAIN_AFTER, WITHIN = 600, 60


def test_who_asked_in_vain_does_not_wait_for_the_next_try(running: Host) -> None:
    """The host has asked for the address of a stopped workload; it starts; the answer is there.

    Without help the kernel asks again some time after it asked in vain, every time.
    """
    running.connect("volt0", "other")  # a bridge without any port has no carrier
    milliseconds = str(ASKS_AGAIN_AFTER * 1000)
    running.run("ip", "ntable", "change", "name", "arp_cache", "dev", "volt0",
                "retrans", milliseconds)  # fmt: skip
    waits = [wait_of_an_early_bird(running, f"web{number}") for number in range(3)]
    print(f"answered {min(waits) * 1000:.0f} ms after the start")


def wait_of_an_early_bird(host: Host, name: str) -> float:
    """Seconds from the start of workload `name` to the answer to a ping that began before."""
    address = host.call("net.connect", network="volt0", workload=name)["ip"]
    # Until one is answered; some may be lost on their way.
    early = host.start("ping", "-c", "1", "-i", "0.1", "-w", str(WITHIN), address)
    wait_until(lambda: "INCOMPLETE" in neighbour(host, address), "it has asked", WITHIN)
    host.add_workload(name)
    began = time.monotonic()
    assert early.wait(2 * WITHIN) == 0, neighbour(host, address)
    return time.monotonic() - began


def neighbour(host: Host, address: str) -> str:
    """What the kernel knows about an address."""
    return host.run("ip", "neighbour", "show", "to", address, "dev", "volt0").stdout
