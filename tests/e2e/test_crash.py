"""The agent is killed: with `volt-keep` beside it, tunnels go on with the next one."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import make_pair
from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

KILLS, TUNNELS = 2, 20


def start_holder(host: Host) -> None:
    place = "/run/volt/keep.sock"
    host.run("mkdir", "-p", "/run/volt")
    host.start(*host.python("-m", "volt_agent.handover.holder", place))
    wait_until(host.path(place).exists, "the holder listens")


@pytest.mark.parametrize("upgrades", [False, True], ids=["killed", "upgraded"])
def test_tunnels_survive_kills(host: Host, upgrades: bool) -> None:
    """Each of them, and every byte; also those that came from the version before."""
    start_holder(host)
    host.start_agent()
    make_pair(host)
    servers = Web(host, "serve", "web:8080")
    host.call("ingress.create", name="app", backends=["web:8080"])
    wait_until(lambda: " 200 " in get(host, "app.example.com"), "the route serves")
    load = Web(
        host, "load", f"{HOST_ADDRESS}:80", "0", str(TUNNELS), "app.example.com", where="outside"
    )
    if upgrades:
        host.volt("agent", "upgrade")
    held = f"volt_ingress_tunnels_held {TUNNELS}\n"
    for _ in range(KILLS):
        wait_until(lambda: held in host.get("/metrics")[1], "all tunnels are held")
        host.run("kill", "-KILL", str(host.call("status")["pid"]))
        wait_until(lambda: not host.is_ready(), "the agent is gone")
        host.start_agent()
    report = load.stop()
    servers.stop()
    assert report == {"tunnels": TUNNELS}, (report, host.agent_log())
    lines = host.agent_log().splitlines()
    assert (
        sum(f"{TUNNELS} tunnels go on after a crash, 0 do not" in line for line in lines) == KILLS
    )
