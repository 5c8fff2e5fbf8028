"""A private host whose ingress leads to echoing backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress.authority import Authority, pem_of
from tests.support.host import Host
from tests.support.machine import ROOT
from tests.support.process import wait_until

JUDGES = ROOT / ".cache" / "judges"
HTTP, WEBSOCKET = 9000, 9001  # ports of the backends on the host itself
ECHO = "echo.example.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need the judges."""
    missing = pytest.mark.skip(reason="no judges: `make conformance` fetches them")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.conformance)
            item.add_marker(pytest.mark.kernel)
            if not (JUDGES / "stamp").exists():
                item.add_marker(missing)


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """Any host by HTTP, ECHO by HTTPS too, with a certificate of the authority in root.pem, and
    127.0.0.1 by WebSockets."""
    with Host("network: {firewall: {host_inbound: allow}}\n") as host:
        backends = host.start(
            *host.python("-m", "tests.conformance.echo", str(HTTP), str(WEBSOCKET)), stdout=-1
        )
        assert backends.stdout.readline() == "ready\n"
        host.start_agent()
        authority = Authority()
        authority.files(host.path(host.room), ECHO, stem="echo")
        host.path(host.room / "root.pem").write_bytes(pem_of([authority.root]))
        pair = {"cert": f"{host.room}/echo.pem", "key": f"{host.room}/echo.key"}
        lead(host, "any", HTTP)
        lead(host, "echo", HTTP, hostname=ECHO, redirect=False, tls="manual", **pair)
        lead(host, "sockets", WEBSOCKET, hostname="127.0.0.1")
        yield host


def lead(host: Host, name: str, port: int, **more: object) -> None:
    """Make a route to a backend on the host itself, and wait until it serves."""
    host.call("ingress.create", name=name, backends=[f"127.0.0.1:{port}"], **more)

    def healthy() -> bool:
        (route,) = (each for each in host.call("ingress.list") if each["name"] == name)
        return all(each["status"] == "healthy" for each in route["backends"])

    wait_until(healthy, f"route {name} serves", 10)
