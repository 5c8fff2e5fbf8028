"""A resolved project as a Compose file, which reads as the same project again."""

from __future__ import annotations

from typing import Any

from ..control.messages.compose import Wanted, WantedForward, WantedNetwork


def as_file(wanted: Wanted) -> dict[str, Any]:
    """Plain values for YAML or JSON, with every default that volt knows without the agent."""
    services: dict[str, Any] = {}
    for place in wanted.connections:
        networks = services.setdefault(place.workload, {"networks": {}})["networks"]
        chosen = {"ipv4_address": place.ip, "mac_address": place.mac}
        networks[place.network] = {key: value for key, value in chosen.items() if value}
    for forward in wanted.forwards:
        services[forward.target].setdefault("ports", []).append(_port(forward))
    for service in services.values():
        service["networks"] = {key: value or None for key, value in service["networks"].items()}
    return {
        "name": wanted.name,
        "networks": {each.name: _network(each) for each in wanted.networks},
        "services": services,
    }


def _network(each: WantedNetwork) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": each.name}
    if each.external:
        return {**shown, "external": True}
    shown["driver"] = "bridge"
    if each.subnet is not None:
        shown["subnet"] = each.subnet
    if not each.nat:
        shown["internal"] = True
    if each.mtu is not None:
        shown["options"] = {"mtu": each.mtu}
    return shown


def _port(forward: WantedForward) -> str:
    address = f"{forward.host_ip}:" if forward.host_ip is not None else ""
    return f"{address}{forward.host_port}:{forward.target_port}/{forward.proto}"
