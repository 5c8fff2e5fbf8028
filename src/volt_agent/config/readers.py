"""One plain value of the document -> the value for the schema.

A `Reader` returns the value, or raises `Unfit`, which says what was expected; the caller knows the
path and what it got. Readers never look at anything but
their value: no files, no kernel, no other key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from ..errors import Invalid
from ..model.host import HostPort, Protocol
from ..model.names import INTERFACE_NAME_MAX, check_name
from ..networks.subnets import LONGEST_PREFIX, SHORTEST_PREFIX, parse_subnet
from .values import DNS_PORT, Address, Listen, Upstream

Reader = Callable[[object], object]

# resolv.conf(5): up to glibc 2.25 six domains with 256 characters in all; musl's limit is alike.
SEARCH_DOMAINS_MAX, SEARCH_CHARACTERS_MAX = 6, 256
# RFC 1035, section 2.3.4: 255 octets on the wire are 253 characters.
DOMAIN_MAX = 253
_BROADCAST = "255.255.255.255"
# Interfaces that volt makes for networks and workloads (model.names) begin so.
_OWN_PREFIXES = ("volt-", "vc-", "vt-")
# What the kernel takes for an interface name (dev_valid_name in net/core/dev.c), without the
# characters that mean something in nftables or a shell.
_INTERFACE = re.compile(rf"(?!\.\.?$)[A-Za-z0-9_.@+-]{{1,{INTERFACE_NAME_MAX}}}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# RFC 3986, section 3.2.2: an IPv6 address beside a port stands in brackets.
_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<other>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_ALLOWED_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?/(tcp|udp)")


class Unfit(ValueError):
    """A value that cannot be used. `expected` completes "expected ..."; `hint` may follow."""

    def __init__(self, expected: str, hint: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise Unfit("true or false")


def integer(low: int, high: int) -> Reader:
    """A whole number, `low` and `high` included."""

    def read(value: object) -> int:
        if type(value) is int and low <= value <= high:
            return value
        raise Unfit(f"a whole number from {low} to {high}")

    return read


def seconds(low: float, high: float) -> Reader:
    """A duration in seconds, with or without a fraction, `low` and `high` included."""

    def read(value: object) -> float:
        if type(value) in (int, float) and low <= value <= high:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise Unfit(f"a number of seconds from {low:g} to {high:g}")

    return read


def one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise Unfit(" or ".join(words))

    return read


def optional(reader: Reader) -> Reader:
    """`reader`, or nothing (null)."""
    return lambda value: None if value is None else reader(value)


def bridge_name(value: object) -> str:
    """A name that is an interface name and a DNS label at once, and not of volt's other devices."""
    expected = f"a DNS label of at most {INTERFACE_NAME_MAX} characters"
    try:
        name = check_name("bridge", _text(value, expected))
    except Invalid as error:
        raise Unfit(expected, error.hint) from None
    if len(name) > INTERFACE_NAME_MAX:
        raise Unfit(expected)
    if name.startswith(_OWN_PREFIXES) or name in ("lo", "all", "default"):
        raise Unfit(f"a name that is not reserved ({', '.join(_OWN_PREFIXES)}... are volt's)")
    return name


def subnet(value: object) -> IPv4Network:
    """An IPv4 subnet that a network may have."""
    expected = f"an IPv4 subnet from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}"
    try:
        return parse_subnet(_text(value, expected))
    except Invalid as error:
        raise Unfit(expected, f"{error.message}; {error.hint}") from None


def upstream(value: object) -> Upstream:
    """`ADDRESS`, `ADDRESS:PORT` or `[IPV6]:PORT` of a DNS server."""
    expected = "the ADDRESS, ADDRESS:PORT or [IPV6]:PORT of a DNS server"
    text = _text(value, expected)
    host, port = _host_and_port(text, expected) or (_address(text, expected), DNS_PORT)
    if isinstance(host, str):
        raise Unfit(expected, "a name would need a DNS server to be looked up")
    if host.is_unspecified or host.is_multicast or str(host) == _BROADCAST:
        raise Unfit(expected, "this address cannot be that of one server")
    return Upstream(host, port)


def search_domain(value: object) -> str:
    """A domain name in lower case, without the dot at its end."""
    expected = "a domain name such as volt.local"
    name = _text(value, expected).lower().removesuffix(".")
    if len(name) > DOMAIN_MAX or not all(map(_LABEL.fullmatch, name.split("."))):
        raise Unfit(expected)
    return name


def search_list(names: tuple[object, ...]) -> tuple[object, ...]:
    """Refuse together what a resolver cannot take together."""
    if len(" ".join(map(str, names))) > SEARCH_CHARACTERS_MAX:
        raise Unfit(f"at most {SEARCH_CHARACTERS_MAX} characters in all (resolv.conf(5))")
    return names


def allowed(value: object) -> str | HostPort:
    """An item of `host_allow`: "ssh", "ping", "iface:NAME" or the ports."""
    expected = "ssh, ping, PORT/tcp, FIRST-LAST/udp or iface:NAME"
    text = _text(value, expected)
    if text in ("ssh", "ping"):
        return text
    if text.startswith("iface:") and _INTERFACE.fullmatch(text.removeprefix("iface:")):
        return text
    parted = _ALLOWED_PORTS.fullmatch(text)
    if parted is None:
        raise Unfit(expected)
    protocol: Protocol = "tcp" if parted[3] == "tcp" else "udp"
    first = _port(parted[1], expected)
    last = _port(parted[2], expected) if parted[2] else first
    if first > last:
        raise Unfit(expected, "the range ends before it begins")
    return HostPort(protocol, first, last)


def listen(value: object) -> Listen | None:
    """`ADDRESS:PORT`; nothing or empty text means not at all."""
    expected = "ADDRESS:PORT, [IPV6]:PORT or localhost:PORT, or nothing"
    if value in (None, ""):
        return None
    host, port = _host_and_port(_text(value, expected), expected) or ("", 0)
    if isinstance(host, str) and host != "localhost":
        raise Unfit(expected)
    return Listen(str(host), port)


def proxy_range(value: object) -> IPv4Network | IPv6Network:
    """An address or a range in CIDR notation."""
    expected = "an address or a range such as 192.0.2.0/24"
    text = _text(value, expected)
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise Unfit(expected) from None
    if "%" in text:
        raise Unfit(expected, "a range belongs to no interface")
    if ip_address(text.partition("/")[0]) != whole.network_address:
        raise Unfit(expected, f"the range's own address is {whole}")
    return whole


def https_url(value: object) -> str:
    expected = "an https:// URL"
    text = _text(value, expected)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Unfit(expected) from None
    odd = parts.username is not None or parts.fragment or port == 0
    if parts.scheme != "https" or not parts.hostname or odd or not re.fullmatch(r"[!-~]+", text):
        raise Unfit(expected)
    return text


def mail_address(value: object) -> str:
    expected = "a mail address"
    text = _text(value, expected)
    if not re.fullmatch(r"[^\s@<>,;:]{1,64}@[A-Za-z0-9.-]{1,253}", text):
        raise Unfit(expected)
    return text


def absolute_path(value: object) -> str:
    expected = "the absolute path of a file"
    text = _text(value, expected)
    if not text.startswith("/") or "\0" in text:
        raise Unfit(expected)
    return text


def access_log(value: object) -> str | None:
    """Where the access log goes: "stderr" or a path; None for nowhere."""
    if value in ("off", "stderr"):
        return None if value == "off" else "stderr"
    try:
        return absolute_path(value)
    except Unfit:
        raise Unfit("off, stderr or the absolute path of a file") from None


def token(value: object) -> str:
    """Printable text without spaces."""
    text = _text(value, "text without spaces")
    if not re.fullmatch(r"[!-~]{1,512}", text):
        raise Unfit("text without spaces")
    return text


def mac_key(value: object) -> str:
    """A key in base64url, as CAs hand it out (RFC 8555, section 7.3.4); padding is optional."""
    expected = "a key in base64url, as the CA gave it"
    text = _text(value, expected)
    bare = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,512}={0,2}", text) or len(bare) % 4 == 1:
        raise Unfit(expected)
    return bare


def _text(value: object, expected: str) -> str:
    if isinstance(value, str):
        return value
    raise Unfit(expected)


def _address(text: str, expected: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise Unfit(expected) from None
    # ipaddress takes anything at all behind the percent sign.
    scope = getattr(address, "scope_id", None)
    if scope is not None and not _INTERFACE.fullmatch(scope):
        raise Unfit(expected)
    return address


def _host_and_port(text: str, expected: str) -> tuple[Address | str, int] | None:
    """The parts of `HOST:PORT`; None for anything else. A host that is no address stays text."""
    parted = _HOST_PORT.fullmatch(text)
    if parted is None:
        return None
    port = _port(parted["port"], expected)
    if parted["six"]:
        return _ipv6(parted["six"], expected), port
    try:
        return IPv4Address(parted["other"]), port
    except AddressValueError:
        return parted["other"], port


def _ipv6(text: str, expected: str) -> Address:
    address = _address(text, expected)
    if address.version == 6:
        return address
    raise Unfit(expected, "brackets are for IPv6 addresses")


def _port(text: str, expected: str) -> int:
    port = int(text)
    if 1 <= port <= 65535:
        return port
    raise Unfit(expected, "ports go from 1 to 65535")
