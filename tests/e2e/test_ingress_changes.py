"""Changes of routes, stops of backends and restarts, under load: nobody notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.service import Service
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

CLIENTS, TUNNELS, CHANGES = 10, 20, 100
EFFECTIVE_MS = 2000  # a guard; it takes less than 5


@pytest.fixture
def site(running: Host) -> Iterator[Host]:
    """One route to two workloads, one, two, both healthy."""
    running.connect("volt0", "one", "two")
    servers = Web(running, "serve", "one:80", "two:80")
    make_route(running)
    yield running
    servers.stop()


def make_route(host: Host) -> None:
    host.call(
        "ingress.create", name="web", hostname="app.example.com", backends=["one:80", "two:80"]
    )
    await_healthy(host, 2)


def await_healthy(host: Host, count: int) -> None:
    def healthy() -> bool:
        (route,) = (each for each in host.call("ingress.list") if each["name"] == "web")
        states = [each["status"] for each in route["backends"]]
        return states.count("healthy") == count

    wait_until(healthy, f"{count} backends are healthy")


def await_clients(host: Host) -> None:
    wait_until(lambda: host.call("ingress.status")["connections"] == CLIENTS, "all are connected")


def load(host: Host, clients: int = CLIENTS, tunnels: int = TUNNELS) -> Web:
    address = f"{HOST_ADDRESS}:80"
    arguments = ("load", address, str(clients), str(tunnels), "app.example.com")
    return Web(host, *arguments, where="outside")


def check(report: Mapping[str, int], tunnels: int = TUNNELS) -> None:
    """Every request was answered with 200, every tunnel is as it was."""
    assert set(report) <= {"200", "tunnels"}, report
    assert report["200"] > CLIENTS
    assert report.get("tunnels", 0) == tunnels


def test_route_changes_are_not_noticed(site: Host) -> None:
    """100 changes of other routes and reloads: no request fails, no tunnel ends."""
    busy = load(site)
    for number in range(CHANGES // 2):
        site.call(
            "ingress.create", name="other", hostname=f"h{number}.example.com", backends=["one:80"]
        )
        site.call("ingress.delete", name="other")
        if number % 5 == 0:
            site.call("ingress.reload")
            site.call("agent.reload")
    check(busy.stop())


def test_a_deleted_route_drains(site: Host) -> None:
    """New requests find no route; a tunnel goes on until --drain is over."""
    site.call("ingress.delete", name="web")
    site.call(
        "ingress.create", name="web", hostname="app.example.com", backends=["one:80"], drain=4
    )
    await_healthy(site, 1)
    tunnel = load(site, clients=0, tunnels=1)
    site.call("ingress.create", name="other", hostname="h.example.com", backends=["one:80"])
    site.call("ingress.delete", name="web")
    assert " 404 " in get(site, "app.example.com")
    assert site.call("ingress.status")["tunnels"] == 1
    wait_until(lambda: site.call("ingress.status")["tunnels"] == 0, "the tunnel is cut")
    assert "tunnels" not in tunnel.stop()


def test_a_stop_of_one_backend_fails_no_request(site: Host) -> None:
    """Requests go to the other one, those in flight too; it is back once it runs again."""
    busy = load(site, tunnels=0)
    site.remove_workload("two")
    await_healthy(site, 1)
    site.add_workload("two")
    site.address_of("two")
    servers = Web(site, "serve", "two:80")
    await_healthy(site, 2)
    report = busy.stop()
    servers.stop()
    check(report, tunnels=0)
    assert site.events("workload.stopped")[0]["effective_ms"] < EFFECTIVE_MS


def test_a_restart_refuses_nobody(host: Host) -> None:
    """With the listening sockets kept by the service manager: every request is answered."""
    service = Service(host, *host.agent_command)
    try:
        service.order("start")
        host.connect("volt0", "one", "two")
        servers = Web(host, "serve", "one:80", "two:80")
        make_route(host)
        busy = load(host, tunnels=0)
        await_clients(host)
        state = service.order("restart")
        await_clients(host)
        report = busy.stop()
        servers.stop()
        assert set(report) <= {"200", "asked again"}, report
        assert report["200"] >= 2 * CLIENTS
        assert {"ingress-http-4", "ingress-http-6"} <= set(state["store"])
    finally:
        service.close()
