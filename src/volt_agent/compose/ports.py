"""`ports` of a service (Compose specification, "ports"): the short and the long form."""

from __future__ import annotations

from collections.abc import Mapping

from ..control.messages.compose import WantedForward
from ..control.messages.port import TRANSPORTS
from ..errors import VoltError
from ..model.ports import parse_range
from ..rules.forward import parse_host_ip
from .reader import Reader, items, shown

KNOWN = ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol")
NO_HOST_PORT = "it names no port of the host, and volt chooses none"


def read_ports(reader: Reader, path: str, value: object, workload: str) -> list[WantedForward]:
    """The forwards of a service, each once."""
    forwards: list[WantedForward] = []
    for where, each in items(path, reader.sequence(path, value)):
        read = _long(reader, where, each) if isinstance(each, dict) else _short(reader, where, each)
        forward = _forward(reader, where, read, workload) if read is not None else None
        if forward is not None and forward not in forwards:
            forwards.append(forward)
    return forwards


def clash(one: WantedForward, two: WantedForward) -> bool:
    """Whether both take the same port of the same address."""
    if one.proto != two.proto or (one.host_ip != two.host_ip and one.host_ip and two.host_ip):
        return False
    first, second = parse_range(one.host_port), parse_range(two.host_port)
    return first.first <= second.last and second.first <= first.last


class _Read:
    """A port as it is written: all texts, "" for what is missing."""

    def __init__(self, host_ip: str, published: str, target: str, protocol: str) -> None:
        self.host_ip, self.published = host_ip, published
        self.target, self.protocol = target, protocol


def _short(reader: Reader, path: str, value: object) -> _Read | None:
    """`[[IP:]HOST:]CONTAINER[/PROTOCOL]`"""
    text = reader.text(path, value)
    if text is None:
        return None
    place, _, protocol = text.partition("/")
    front, _, target = place.rpartition(":")
    host_ip, _, published = front.rpartition(":")
    return _Read(host_ip.strip("[]"), published, target, protocol)


def _long(reader: Reader, path: str, found: Mapping[str, object]) -> _Read | None:
    reader.ignore_others(path, found, KNOWN)
    texts = {key: reader.text(f"{path}.{key}", found.get(key)) or "" for key in KNOWN}
    if not texts["target"]:
        reader.mistake(f"{path}.target", "is missing")
        return None
    return _Read(texts["host_ip"], texts["published"], texts["target"], texts["protocol"])


def _forward(reader: Reader, path: str, read: _Read, workload: str) -> WantedForward | None:
    protocol = next((each for each in TRANSPORTS if each == (read.protocol or "tcp").lower()), None)
    if protocol is None:
        reader.mistake(path, f"expected protocol tcp or udp, got {shown(read.protocol)}")
        return None
    try:
        target = parse_range(read.target)
        if not read.published:
            reader.ignore(path, NO_HOST_PORT)
            return None
        published = parse_range(read.published)
    except VoltError as error:
        reader.refused(path, error)
        return None
    try:
        address = parse_host_ip(read.host_ip or None)
    except VoltError:
        reader.mistake(path, f"expected an IPv4 address of the host, got {shown(read.host_ip)}")
        return None
    if published.count != target.count:
        reader.mistake(
            path, f"{published.count} ports of the host for {target.count} of {workload}"
        )
        return None
    return WantedForward(
        host_port=str(published),
        target=workload,
        target_port=str(target),
        proto=protocol,
        host_ip=str(address) if address is not None else None,
    )
