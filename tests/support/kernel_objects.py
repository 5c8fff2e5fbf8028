"""What volt has made in the kernel of a private host, in a form that can be compared."""

from __future__ import annotations

import json
import re
from typing import Any

from .machine import Machine

# The soft start of the firewall ends by itself after some seconds, which no test waits for: sets of
# address families are its switches.
_SWITCHES = re.compile(r"\n\s*elements = \{ ipv4, ipv6 \}")
_COUNTS = re.compile(r"packets \d+ bytes \d+")


def identities(machine: Machine) -> dict[str, Any]:
    """Everything with the kernel's own numbers for it: an object that was remade differs."""
    return {
        "links": {
            each["ifname"]: (each["ifindex"], each["address"], each.get("master"), each["mtu"])
            for each in _links(machine)
        },
        "addresses": addresses(machine),
        "routes": routes(machine, "show", "table", "all"),
        "rules": rules(machine, handles=True),
    }


def shape(machine: Machine) -> dict[str, Any]:
    """The same without numbers: what was remade as it was is equal."""
    return {
        "links": {
            each["ifname"]: (
                each.get("linkinfo", {}).get("info_kind"),
                each["address"],
                each.get("master"),
                each["mtu"],
                each.get("ifalias"),
                "UP" in each["flags"],
                _flags(each),
            )
            for each in _links(machine)
        },
        "addresses": addresses(machine),
        "routes": routes(machine),
        "rules": rules(machine),
        "forwarding": machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout.strip(),
    }


def addresses(machine: Machine, where: str = "host") -> dict[str, list[str]]:
    """The IPv4 addresses by link."""
    shown = machine.run("ip", "-4", "-json", "address", where=where).stdout
    return {
        each["ifname"]: [f"{one['local']}/{one['prefixlen']}" for one in each["addr_info"]]
        for each in json.loads(shown)
    }


def routes(machine: Machine, *which: str) -> list[str]:
    """The routes, whether their links have a carrier at the moment or not."""
    shown = machine.run("ip", "-4", "route", *which).stdout
    return sorted(line.replace("linkdown", "").strip() for line in shown.splitlines())


def rules(machine: Machine, handles: bool = False) -> str:
    """The whole ruleset, elements sorted, without counter values."""
    options = ["--handle"] if handles else []
    text = machine.run("nft", "--stateless", *options, "list", "ruleset").stdout
    return _COUNTS.sub("packets ... bytes ...", _sort_elements(_SWITCHES.sub("", text)))


def _sort_elements(text: str) -> str:
    """The kernel lists the elements of a set in the order of its hash table, which may change."""

    def in_order(match: re.Match[str]) -> str:
        elements = sorted(each.strip() for each in match[1].split(","))
        return "elements = { " + ", ".join(elements) + " }"

    return re.sub(r"elements = \{(.*?)\}", in_order, text, flags=re.DOTALL)


def _flags(link: dict[str, Any]) -> list[Any]:
    """What a bridge and its ports have switched on."""
    info = link.get("linkinfo", {})
    bridge, port = info.get("info_data", {}), info.get("info_slave_data", {})
    return [bridge.get("nf_call_iptables"), bridge.get("nf_call_ip6tables"), port.get("hairpin")]


def _links(machine: Machine) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(
        machine.run("ip", "-json", "-details", "link").stdout or "[]"
    )
    return links
