"""The switches of the agent's parts: kept for the boot, where somebody manages them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from volt_agent.config import Config
from volt_agent.control.messages.agent import Part
from volt_agent.errors import Failed, Refused
from volt_agent.switches import Switches, check_switchable, state_of


def test_without_a_manager_all_is_on() -> None:
    """Until somebody switches, for as long as the agent runs."""
    switches = Switches(None)
    assert switches.is_on("dns")
    switches.put("dns", False)
    assert not switches.is_on("dns")
    assert Switches(None).is_on("dns")


def test_with_a_manager_the_next_agent_of_the_boot_finds_it(tmp_path: Path) -> None:
    """At a boot all is off until its unit is started."""
    directory = str(tmp_path / "switches")
    assert not Switches(directory).is_on("ingress")
    Switches(directory).put("ingress", True)
    assert Switches(directory).is_on("ingress")
    assert not Switches(directory).is_on("dns")
    Switches(directory).put("ingress", False)
    assert not Switches(directory).is_on("ingress")


def test_what_cannot_be_kept_is_not_switched(tmp_path: Path) -> None:
    """One error, and nothing has changed."""
    (tmp_path / "file").touch()
    switches = Switches(str(tmp_path / "file/switches"))
    with pytest.raises(Failed, match="cannot keep the state of dns"):
        switches.put("dns", True)
    assert not switches.is_on("dns")


@pytest.mark.parametrize("part", ["dns", "ingress"])
def test_the_configuration_has_the_last_word(part: Part) -> None:
    """What it has switched off is refused, with the key to change; off is always possible."""
    config = Config()
    network, dns = config.network, config.network.dns
    denied = replace(
        config,
        network=replace(network, dns=replace(dns, enabled=False)),
        ingress=replace(config.ingress, enabled=False),
    )
    check_switchable(part, True, config)
    check_switchable(part, False, denied)
    with pytest.raises(Refused, match="enabled is false"):
        check_switchable(part, True, denied)


def test_a_state_is_a_sentence() -> None:
    """What `systemctl status` shows."""
    assert state_of("dns", False, ["10.0.0.1"]) == "off"
    assert state_of("dns", True, ["10.0.0.1"]) == "on: answers names on 10.0.0.1"
    assert state_of("ingress", True, []) == "on: listens once there is a route"
    assert state_of("ingress", True, [80, 443]) == "on: listens on 80, 443"
