"""Containers that bring their own port, and clients that speak DHCP by hand."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from fcntl import ioctl
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.support.host import Host, Result
from tests.support.machine import ROOT
from tests.support.namespaces import network_namespace
from tests.support.process import PATIENCE, wait_until
from volt_agent.dhcp import frames
from volt_agent.dhcp.message import REPLY, Kind, Message, encode, parse
from volt_agent.dhcp.options import Option

CLIENTS = ROOT / ".cache" / "clients"
LIBRARIES = str(CLIENTS / "usr/lib/x86_64-linux-gnu")
NOBODY, ALL = IPv4Address(0), IPv4Address("255.255.255.255")
# Kept out of /run/netns, whose namespaces are workloads by themselves.
_ROOM = "/run/guests"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
_numbers = itertools.count(1)


class Guest:
    """A container as systemd-nspawn --network-bridge attaches it: `vb-NAME` and `host0`."""

    def __init__(self, host: Host, name: str, bridge: str) -> None:
        self.host, self.name = host, name
        self.path = f"{_ROOM}/{name}"
        host.run("sh", "-c", f"mkdir -p {_ROOM}; touch {self.path}; unshare --net={self.path} true")
        host.run("ip", "link", "add", f"vb-{name}", "type", "veth",
                 "peer", "name", "host0", "netns", self.path)  # fmt: skip
        host.run("ip", "link", "set", f"vb-{name}", "master", bridge, "up")
        self.run("ip", "link", "set", "host0", "up")
        self.run("ip", "link", "set", "lo", "up")
        wait_until(self._is_seen, f"{name} is seen")

    def run(self, *argv: str, **how: Any) -> Result:
        """Run a command in the container's network."""
        return self.host.run("nsenter", f"--net={self.path}", *argv, **how)

    def _is_seen(self) -> bool:
        found = [each for each in self.host.call("ps") if each["name"] == self.name]
        return bool(found) and found[0]["state"] == "running" and bool(found[0]["networks"])

    def unplug(self) -> None:
        self.host.run("ip", "link", "delete", f"vb-{self.name}")

    def client(self, mac: str | None = None) -> Client:
        """A client on its interface: with the interface's MAC, or another."""
        with network_namespace(self.host.path(self.path)):
            return Client(_packet_socket("host0"), mac)

    def leave(self) -> None:
        self.unplug()
        self.host.run("umount", self.path)


def client_in(host: Host, workload: str, mac: str | None = None) -> Client:
    """A client on `eth0` of a workload that is a named namespace."""
    with network_namespace(host.path(f"/run/netns/{workload}")):
        return Client(_packet_socket("eth0"), mac)


def virtual_machine(host: Host, tap: str, mac: str) -> Client:
    """Plug into a tap that volt made, as a virtual machine does; unplugged when closed."""
    with network_namespace(Path(f"/proc/{host.pid}/ns/net")):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI))
    return Client(_Tap(fd), mac)


class _Tap:
    """The tap's frames, with what is needed of a socket."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, frame: bytes) -> int:
        return os.write(self._fd, frame)

    def recv(self, size: int) -> bytes:
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            return b""

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)


class Client:
    """Speaks DHCP on a wire. `mac` is both the Ethernet source and `chaddr`, unless told."""

    def __init__(self, wire: socket.socket | _Tap, mac: str | None = None) -> None:
        self._wire = wire
        if mac is None:
            assert isinstance(wire, socket.socket)
            mac = wire.getsockname()[4].hex(":")
        self.mac: str = mac
        os.set_blocking(wire.fileno(), False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._wire.close()

    def send(
        self,
        kind: Kind,
        options: Mapping[int, bytes] | None = None,
        *,
        source: IPv4Address = NOBODY,
        target: IPv4Address = ALL,
        ports: tuple[int, int] = (68, 67),
        frame_mac: str | None = None,
        **fields: Any,
    ) -> int:
        """Send a message; its transaction id."""
        xid = next(_numbers)
        fields = {"mac": self.mac, **fields}
        message = Message(kind=kind, xid=xid, options=options or {}, **fields)
        datagram = frames.Datagram(
            frame_mac or self.mac, frames.EVERYBODY, source, target, *ports, encode(message)
        )
        self._wire.send(frames.write(datagram))
        return xid

    def send_raw(self, frame: bytes) -> None:
        self._wire.send(frame)

    def ask(self, kind: Kind, *args: Any, within: float = PATIENCE, **how: Any) -> Message:
        """Send a message and wait for the reply. Raises TimeoutError."""
        xid = self.send(kind, *args, **how)
        return wait_until(lambda: self.reply_to(xid), f"a reply to {kind.name}", within)

    def is_ignored(self, kind: Kind, *args: Any, **how: Any) -> bool:
        """Whether a message gets no reply, while a later one of another kind would have.

        The server works in order, so the reply to the question that follows comes last."""
        xid = self.send(kind, *args, **how)
        last = self.send(Kind.REQUEST, {Option.REQUESTED_ADDRESS: IPv4Address("192.0.2.9").packed})
        seen: list[int] = []

        def look() -> bool:
            reply = self._next()
            seen.extend([reply.xid] if reply is not None else [])
            return last in seen

        wait_until(look, "the refusal that comes last")
        return xid not in seen

    def lease(self, options: Mapping[int, bytes] | None = None, **how: Any) -> Message:
        """DISCOVER, OFFER, REQUEST: the ACK."""
        offer = self.ask(Kind.DISCOVER, options, **how)
        assert offer.kind == Kind.OFFER
        return self.select(offer, options, **how)

    def lease_in_the_end(self, within: float = PATIENCE) -> Message:
        """As clients do: ask again, until there is an answer."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            with suppress(TimeoutError):
                return self.lease(within=0.3)
        raise TimeoutError(f"no lease for {self.mac}")

    def select(
        self, offer: Message, options: Mapping[int, bytes] | None = None, **how: Any
    ) -> Message:
        """The reply to a REQUEST for what was offered."""
        assert offer.server is not None
        return self.ask(
            Kind.REQUEST,
            {
                Option.REQUESTED_ADDRESS: offer.yiaddr.packed,
                Option.SERVER_ID: offer.server.packed,
                **(options or {}),
            },
            **how,
        )

    def reply_to(self, xid: int) -> Message | None:
        """The reply to what was sent under `xid`, if it is there."""
        while (reply := self._next()) is not None:
            if reply.xid == xid:
                return reply
        return None

    def _next(self) -> Message | None:
        """The next DHCP reply on the wire, None if there is none yet."""
        while True:
            try:
                frame = self._wire.recv(2048)
            except BlockingIOError:
                return None
            if not frame:
                return None
            datagram = frames.read(frame, has_checksum=False)
            if datagram is not None and datagram.source_port == 67:
                message = parse(datagram.data)
                if message.op == REPLY:
                    return message


def _packet_socket(interface: str) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    made = socket.socket(socket.AF_PACKET, kind, socket.htons(0x0003))  # ETH_P_ALL
    made.bind((interface, 0x0003))
    return made
