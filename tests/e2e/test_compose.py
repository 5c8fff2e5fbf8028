"""Compose projects on a host where the agent runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.files import HANDBOOK
from tests.e2e.shop import Shop
from tests.support.host import Host


@pytest.fixture
def shop(running: Host, tmp_path: Path) -> Shop:
    return Shop(running, tmp_path)


def test_the_handbooks_example(shop: Shop) -> None:
    """Two networks as described, by their own names; `down` leaves the host as it was."""
    before = shop.state()
    assert shop.up(HANDBOOK) == ["create network frontend", "create network backend"]
    found = {each["name"]: each for each in shop.host.volt_json("net", "list")}
    assert (found["frontend"]["subnet"], found["frontend"]["mtu"]) == ("10.20.0.0/24", 9000)
    assert (found["backend"]["subnet"], found["backend"]["internal"]) == ("10.30.0.0/24", True)
    assert "mtu 9000" in shop.host.run("ip", "link", "show", "volt-frontend").stdout
    assert shop.up(HANDBOOK) == []
    assert len(shop.compose("down")["steps"]) == 2
    assert shop.state() == before


def test_services_are_reached(shop: Shop) -> None:
    """A workload with a service's name is on its network, and behind its port."""
    shop.up(
        "networks: {front: {subnet: 10.40.0.0/24}}\n"
        'services: {web: {networks: {front: {ipv4_address: 10.40.0.7}}, ports: ["18080:80"]}}'
    )
    shop.host.add_workload("web")
    assert shop.host.address_of("web") == "10.40.0.7"
    (forward,) = shop.host.volt_json("net", "port", "list")
    assert (forward["host_port"], forward["target_port"]) == ("18080", "80")
    assert forward["status"] == "active"


def test_what_left_the_file_goes(shop: Shop) -> None:
    """And what changed is made anew; what others made stays, also at `down`."""
    shop.host.volt("net", "create", "mine", "--subnet", "10.41.0.0/24")
    first = (
        "networks: {front: {subnet: 10.40.0.0/24}, mine: {external: true}}\n"
        "services: {web: {networks: [front, mine], ports: ['18080:80']}, old: {networks: [front]}}"
    )
    assert len(shop.up(first)) == 5
    second = (
        "networks: {front: {subnet: 10.42.0.0/24}, mine: }\n"
        "services: {web: {networks: [front, mine], ports: ['18081:80']}}"
    )
    assert shop.up(second) == [
        "unforward *:18080/tcp -> web:80",
        "disconnect web from front",
        "disconnect old from front",
        "forget old",
        "delete network front",
        "create network front",
        "connect web to front",
        "forward *:18081/tcp -> web:80",
    ]
    assert shop.up(second) == []
    assert "in use by" not in str(shop.compose("down"))
    networks = [each["name"] for each in shop.host.volt_json("net", "list")]
    assert "mine" in networks
    assert "front" not in networks
    assert shop.host.volt_json("ps") == []


def test_bad_projects_change_nothing(shop: Shop) -> None:
    """Whatever is wrong is known before the first step."""
    before = shop.state()
    front = "networks: {front: {subnet: 10.40.0.0/24}, "
    assert "there is no network out" in shop.refusal(front + "out: {external: true}}")
    assert "overlaps network volt0" in shop.refusal(front + "b: {subnet: 10.0.0.0/25}}")
    assert "overlaps 10.40.0.0/24 of networks.front" in shop.refusal(
        front + "b: {subnet: 10.40.0.0/25}}"
    )
    assert "networks.b.driver: expected bridge" in shop.refusal(front + "b: {driver: macvlan}}")
    assert "line " in shop.refusal(front)
    twice = "services: {a: {ports: ['18080:80']}, b: {ports: ['18080:80']}}"
    assert "services.b.ports: port 18080 is one of services.a.ports" in shop.refusal(twice)
    assert shop.state() == before


def test_people_see_the_plan_first(shop: Shop) -> None:
    """Then what became of it; what volt ignores is said on standard error."""
    shop.path.write_text("networks: {front: {subnet: 10.40.0.0/24, labels: {a: b}}}")
    done = shop.host.volt("compose", "up", "-f", str(shop.path), "-p", "shop")
    assert done.stdout.splitlines() == [
        "project shop: 1 change",
        "  + create network front (10.40.0.0/24)",
        "done",
    ]
    assert done.stderr.startswith("warning: compose.yaml: networks.front.labels is ignored")
    done = shop.host.volt("compose", "up", "-f", str(shop.path), "-p", "shop")
    assert done.stdout == "project shop: nothing to change\n"
    done = shop.host.volt("compose", "down", "-p", "shop")
    assert "- delete network front" in done.stdout
