"""What the host itself has: who listens on which port, where sshd listens, what the kernel can do.

Plain functions that read files; those that look at all processes take milliseconds and belong in a
thread. `proc` and `etc` are arguments so that tests can bring their own.
"""

from __future__ import annotations

import logging
import os
import re
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..model.host import Protocol

log = logging.getLogger(__name__)

PROC = Path("/proc")
ETC_SSH = Path("/etc/ssh")
_TABLES: tuple[tuple[Protocol, str], ...] = (
    ("tcp", "tcp"),
    ("tcp", "tcp6"),
    ("udp", "udp"),
    ("udp", "udp6"),
)
# include/net/tcp_states.h: TCP_LISTEN; an unconnected UDP socket is in TCP_CLOSE.
_WAITING = {"tcp": "0A", "udp": "07"}
# A busy host has 100,000 open files; whoever holds more has to live with unnamed listeners.
_FILES_MAX = 200_000
_LISTENERS_MAX = 4096
_SSH_PORT = 22
_SYSTEMD = "systemd"


class Listener(Struct, frozen=True):
    """A socket that waits for traffic, at an IPv4 or IPv6 `address` (0.0.0.0 and :: are all).

    `process` is the command name of whoever holds it, where known; `user` the uid that opened it.
    """

    protocol: Protocol
    address: str
    port: int
    process: str | None = None
    user: int = 0


def listening_ports(proc: Path = PROC, *, loopback: bool = False) -> list[Listener]:
    """Who listens on which port of this thread's network namespace, sorted.

    Those that listen on loopback addresses only are left out, unless `loopback` asks for them.
    """
    sockets = dict(_sockets(proc, loopback))
    owners = _owners(sockets.keys(), proc)
    found = {replace(each, process=owners.get(inode)) for inode, each in sockets.items()}
    return sorted(found, key=lambda each: (each.protocol, each.port, each.address))


def sshd_ports(proc: Path = PROC, etc: Path = ETC_SSH) -> frozenset[int]:
    """The ports that must stay open so that nobody is locked out.

    Those that sshd listens on, and those that its configuration names, because systemd may listen
    in its place (ssh.socket); 22 if neither says anything. Any user may call a process sshd and
    would open a port to the outside with it: root's count.
    """
    listening = {
        each.port
        for each in listening_ports(proc)
        if (each.protocol, each.process, each.user) == ("tcp", "sshd", 0)
    }
    return frozenset(listening | configured_ssh_ports(etc)) or frozenset({_SSH_PORT})


def has_bridge_netfilter(proc: Path = PROC) -> bool:
    """Whether br_netfilter is there: without it bridges accept the flags and ignore them."""
    return (proc / "sys/net/bridge/bridge-nf-call-iptables").exists()


# ---- sockets ------------------------------------------------------------------------------------


def _sockets(proc: Path, loopback: bool) -> Iterator[tuple[int, Listener]]:
    for protocol, table in _TABLES:
        try:
            # Not /proc/net: that is the namespace of the process's first thread.
            lines = (proc / "thread-self/net" / table).read_text().splitlines()
        except OSError:  # a kernel without IPv6
            continue
        waiting = (line for line in lines[1:] if is_waiting(protocol, line))
        for line in islice(waiting, _LISTENERS_MAX):
            inode, port = parse_socket(protocol, line)
            if loopback or not ip_address(port.address).is_loopback:
                yield inode, port


def is_waiting(protocol: Protocol, line: str) -> bool:
    """Whether a line of /proc/net/tcp or udp is about a socket that waits for anybody."""
    fields = line.split()
    return len(fields) > 9 and fields[3] == _WAITING[protocol]


def parse_socket(protocol: Protocol, line: str) -> tuple[int, Listener]:
    """Inode and address of a line of /proc/net/tcp, tcp6, udp or udp6 (proc(5)).

    Raises ValueError for anything else.
    """
    fields = line.split()
    if len(fields) < 10:
        raise ValueError(f"{len(fields)} fields")
    address, _, port = fields[1].partition(":")
    listener = Listener(protocol, _address(address), int(port, 16), user=int(fields[7]))
    return int(fields[9]), listener


def _address(text: str) -> str:
    """Each group of eight digits is a 32-bit word of the address in the host's byte order."""
    if len(text) not in (8, 32):
        raise ValueError(f"{text!r} is no address")
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(packed) == 4:
        return str(IPv4Address(packed))
    wide = IPv6Address(packed)
    return str(wide.ipv4_mapped or wide)


def _owners(inodes: Iterable[int], proc: Path) -> dict[int, str]:
    """The command names of processes that hold these sockets, as far as we may look."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, str] = {}
    for count, (process, target) in enumerate(_open_files(proc)):
        inode = wanted.get(target)
        # systemd keeps a copy of the sockets that it passes on: it is the owner of last resort.
        if inode is not None and owners.get(inode, _SYSTEMD) == _SYSTEMD:
            owners[inode] = process
        if count == _FILES_MAX:
            log.info("more than %d open files: some listeners stay without a name", _FILES_MAX)
            break
    return owners


def _open_files(proc: Path) -> Iterator[tuple[str, str]]:
    """(command name, what the descriptor leads to) for all processes."""
    for process in sorted(each for each in os.listdir(proc) if each.isdigit()):
        folder = proc / process
        try:
            name = _readable((folder / "comm").read_bytes())
            descriptors = os.listdir(folder / "fd")
        except OSError:  # it has ended, or belongs to another user
            continue
        for descriptor in descriptors:
            try:
                yield name, os.readlink(folder / "fd" / descriptor)
            except OSError:  # closed meanwhile
                continue


def _readable(comm: bytes) -> str:
    """A command name as one printable word or more: any process may give itself any bytes, and the
    kernel cuts after the fifteenth, within a letter if need be (prctl(2), PR_SET_NAME)."""
    name = comm.decode(errors="replace").rstrip("\n")
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name)


# ---- sshd ---------------------------------------------------------------------------------------


def configured_ssh_ports(etc: Path = ETC_SSH) -> set[int]:
    """The ports in `Port` and `ListenAddress` lines of sshd's configuration (sshd_config(5))."""
    ports: set[int] = set()
    for path in (etc / "sshd_config", *sorted((etc / "sshd_config.d").glob("*.conf"))):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        ports.update(port for line in lines if (port := parse_ssh_line(line)) is not None)
    return ports


_SSH_LINE = re.compile(r"\s*(port|listenaddress)(?:\s*=\s*|\s+)\"?([^\s\"#]+)", re.IGNORECASE)


def parse_ssh_line(line: str) -> int | None:
    """The port that a line of sshd_config names, if it names one."""
    found = _SSH_LINE.match(line)
    if found is None:
        return None
    keyword, value = found[1].lower(), found[2]
    if keyword == "listenaddress":
        # host, host:port, [v6]:port, or a bare v6 address, which has no port.
        host, colon, value = value.rpartition(":")
        if not colon or (":" in host and not host.startswith("[")):
            return None
    return int(value) if re.fullmatch(r"[0-9]{1,5}", value) and 0 < int(value) < 65536 else None


# ---- the kernel itself --------------------------------------------------------------------------


@cache
def boot_id() -> str:
    """The kernel's id of this boot (random(4)); "" where it is hidden."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
