"""A host with many running workloads on the network `many`."""

from __future__ import annotations

import json

from tests.support.host import Host
from tests.support.process import wait_until

SUBNET = "10.64.0.0/20"
GATEWAY = "10.64.0.1"


def populate(host: Host, workloads: int, already: int = 0) -> None:
    """Let workloads `w0`, `w1`, ... run until there are this many; `already` of them do."""
    if not already:
        host.call("net.create", name="many", subnet=SUBNET)
    for number in range(already, workloads):
        host.call("net.connect", network="many", workload=f"w{number}")
        host.add_workload(f"w{number}")
    wait_until(lambda: _all_are_up(host, workloads), f"{workloads} workloads run", 120)


def _all_are_up(host: Host, workloads: int) -> bool:
    """Every name is there, and so every link: a name appears last."""
    found = {each["workload"] for each in host.call("net.dns.list")}
    running = json.loads(host.get("/status")[1])["running"]
    return len(found) >= workloads and running >= workloads
