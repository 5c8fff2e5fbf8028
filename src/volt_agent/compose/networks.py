"""The section `networks` of a Compose file."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from ..control.messages.compose import WantedNetwork
from ..errors import VoltError
from ..model.names import label_from
from ..networks.decide import MTU_MAX, MTU_MIN
from ..networks.subnets import parse_subnet
from .reader import Reader, items, shown

KNOWN = ("name", "driver", "driver_opts", "options", "subnet", "internal", "external", "ipam")
DOCKER_MTU = "com.docker.network.driver.mtu"


def read_networks(
    reader: Reader, found: Mapping[str, object], project: str
) -> dict[str, WantedNetwork]:
    """The networks by their keys in the file; `project` names the one called `default`."""
    networks = {}
    for key, value in found.items():
        path = f"networks.{key}"
        networks[key] = _read(reader, path, name_of(key, project), reader.mapping(path, value))
    _check_names(reader, networks)
    _check_overlaps(reader, networks)
    return networks


def name_of(key: str, project: str) -> str:
    """What the network `key` of a file is called unless it says so itself."""
    return label_from(f"{project}-default" if key == "default" else key)


def _read(reader: Reader, path: str, name: str, found: Mapping[str, object]) -> WantedNetwork:
    reader.ignore_others(path, found, KNOWN)
    named = reader.text(f"{path}.name", found.get("name"))
    external = found.get("external")
    if isinstance(external, dict):  # {name: NAME}, as Compose files of version 2 have it
        named = reader.text(f"{path}.external.name", external.get("name")) or named
        external = True
    name = label_from(named) if named else name
    if reader.flag(f"{path}.external", external):
        _refuse_settings(reader, path, found)
        return WantedNetwork(name=name, external=True)
    _check_driver(reader, path, found.get("driver"))
    return WantedNetwork(
        name=name,
        subnet=_subnet(reader, path, found),
        mtu=_mtu(reader, path, found),
        nat=not reader.flag(f"{path}.internal", found.get("internal")),
    )


def _refuse_settings(reader: Reader, path: str, found: Mapping[str, object]) -> None:
    for key in found:
        if key in KNOWN and key not in ("name", "external"):
            reader.mistake(f"{path}.{key}", "an external network exists already; leave this out")


def _check_driver(reader: Reader, path: str, value: object) -> None:
    driver = reader.text(f"{path}.driver", value)
    if driver not in (None, "bridge", "default"):
        reader.mistake(f"{path}.driver", f"expected bridge, got {shown(str(driver))}")


def _subnet(reader: Reader, path: str, found: Mapping[str, object]) -> str | None:
    """The one subnet, from the handbook's `subnet` or from `ipam`."""
    where = f"{path}.subnet"
    subnets = {where: reader.text(where, found.get("subnet"))}
    ipam = reader.mapping(f"{path}.ipam", found.get("ipam"))
    reader.ignore_others(f"{path}.ipam", ipam, ("config", "driver"))
    if ipam.get("driver") not in (None, "default"):
        reader.mistake(f"{path}.ipam.driver", "expected default")
    listed = reader.sequence(f"{path}.ipam.config", ipam.get("config"))
    for where, value in items(f"{path}.ipam.config", listed):
        subnets[f"{where}.subnet"] = _pool(reader, where, reader.mapping(where, value))
    given = {where: _checked(reader, where, text) for where, text in subnets.items() if text}
    distinct = {text for text in given.values() if text is not None}
    if len(distinct) > 1:
        reader.mistake(path, f"one subnet expected, got {' and '.join(sorted(distinct))}")
    return min(distinct, default=None)


def _pool(reader: Reader, path: str, pool: Mapping[str, object]) -> str | None:
    reader.ignore_others(path, pool, ("subnet", "gateway"))
    subnet = reader.text(f"{path}.subnet", pool.get("subnet"))
    gateway = reader.text(f"{path}.gateway", pool.get("gateway"))
    if subnet is not None and ":" in subnet:
        reader.ignore(f"{path}.subnet", "networks are IPv4 for now")
        return None
    if subnet is not None and gateway is not None:
        _check_gateway(reader, path, subnet, gateway)
    return subnet


def _check_gateway(reader: Reader, path: str, subnet: str, gateway: str) -> None:
    try:
        first = str(parse_subnet(subnet).network_address + 1)
    except VoltError:
        return  # said about the subnet already
    if gateway != first:
        reader.mistake(
            f"{path}.gateway", f"the gateway is the first address, {first}, not {shown(gateway)}"
        )


def _checked(reader: Reader, path: str, text: str) -> str | None:
    try:
        return str(parse_subnet(text))
    except VoltError as error:
        reader.refused(path, error)
        return None


def _mtu(reader: Reader, path: str, found: Mapping[str, object]) -> int | None:
    """From `options.mtu`, or from where Docker has it."""
    mtu = None
    for section in ("driver_opts", "options"):
        where = f"{path}.{section}"
        options = reader.mapping(where, found.get(section))
        reader.ignore_others(where, options, ("mtu", DOCKER_MTU))
        for key in (DOCKER_MTU, "mtu"):
            value = reader.number(f"{where}.{key}", options.get(key))
            if value is not None and not MTU_MIN <= value <= MTU_MAX:
                reader.mistake(f"{where}.{key}", f"expected {MTU_MIN} to {MTU_MAX}, got {value}")
            mtu = value if value is not None else mtu
    return mtu


def _check_names(reader: Reader, networks: Mapping[str, WantedNetwork]) -> None:
    seen: dict[str, str] = {}
    for key, each in networks.items():
        if each.name in seen:
            reader.mistake(
                f"networks.{key}", f"is called {each.name}, as networks.{seen[each.name]} is"
            )
        seen.setdefault(each.name, key)


def _check_overlaps(reader: Reader, networks: Mapping[str, WantedNetwork]) -> None:
    seen: list[tuple[str, IPv4Network]] = []
    for key, each in networks.items():
        if each.subnet is None:
            continue
        subnet = IPv4Network(each.subnet)
        for other, taken in seen:
            if subnet.overlaps(taken):
                reader.mistake(
                    f"networks.{key}", f"subnet {subnet} overlaps {taken} of networks.{other}"
                )
        seen.append((key, subnet))
