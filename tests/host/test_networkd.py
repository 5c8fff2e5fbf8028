"""systemd-networkd, the DHCP client of most containers that boot."""

from __future__ import annotations

import pytest

from tests.dhcp.test_server import metric
from tests.support.process import wait_until
from tests.support.systemd_host import SystemdHost


@pytest.fixture
def guest(booted: SystemdHost) -> SystemdHost:
    """A container called guest that nspawn itself has put on the network backend."""
    booted.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
    booted.start_container("guest", "--network-bridge=volt-backend")
    return booted


def test_networkd_gets_renews_and_releases(guest: SystemdHost) -> None:
    """It takes the address, renews it when told to, and gives it back when it is to do without."""
    lease = wait_until(lambda: lease_of_guest(guest), "it has a lease", 30)
    wait_until(lambda: f"{lease['ip']}/24" in addresses(guest), "networkd has taken it", 20)
    assert guest.in_container("guest", "ping", "-c1", "-W5", "10.30.0.1").returncode == 0

    before = metric(guest, "sent_ack")
    renew = ("networkctl", "renew", "host0")  # by D-Bus, which comes up later than the address
    wait_until(
        lambda: guest.in_container("guest", *renew, check=False).returncode == 0, "it can be told"
    )
    wait_until(lambda: metric(guest, "sent_ack") > before, "it is renewed", 20)
    assert lease_of_guest(guest)["ip"] == lease["ip"]

    # It keeps its lease when it stops, but not when it is told to do without DHCP.
    unit = "/run/systemd/network/10-quiet.network"
    quiet = f"mkdir -p /run/systemd/network; printf '[Match]\\nName=host0\\n' >{unit}"
    guest.in_container("guest", "sh", "-c", f"{quiet}; networkctl reload")
    wait_until(lambda: not lease_of_guest(guest), "it is released", 20)
    ended = [each for each in guest.events("lease.ended") if each["workload"] == "guest"]
    assert [(each["address"], each["why"]) for each in ended] == [(lease["ip"], "released")]


def lease_of_guest(host: SystemdHost) -> dict[str, str]:
    """Empty if there is none."""
    found = host.call("net.lease.list")
    return next((each for each in found if each["name"] == "guest"), {})


def addresses(host: SystemdHost) -> str:
    return host.in_container("guest", "ip", "-4", "-brief", "address", "show", "host0").stdout
