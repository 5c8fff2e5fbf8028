"""The host's own end of a connection is closed, and nothing else."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from tests.kernel.scratch import in_namespace
from volt_agent.kernel.host_sockets import HostSockets
from volt_agent.kernel.link_messages import set_link
from volt_agent.kernel.netlink import NetlinkError
from volt_agent.kernel.netlink_socket import NetlinkSocket

pytestmark = pytest.mark.kernel

ADDRESS = IPv4Address("127.0.0.1")
PATIENCE = 60  # seconds


@contextmanager
def connected(family: socket.AddressFamily) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A listener of this family, and the server's end of a connection to it over IPv4."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("", 0))
        listener.listen()
        listener.settimeout(PATIENCE)
        address = (str(ADDRESS), listener.getsockname()[1])
        with socket.create_connection(address, PATIENCE):
            server = listener.accept()[0]
            server.settimeout(PATIENCE)
            with server:
                yield listener, server


def play(scenario: Callable[[], None]) -> None:
    """In a network namespace of its own, with a loopback interface that is up."""

    async def work(_nft: object) -> None:
        with NetlinkSocket() as netlink:
            netlink.request(set_link("lo", up=True))
        scenario()

    in_namespace(work)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_one_connection_is_closed(family: socket.AddressFamily) -> None:
    """Also that of a listener for both families; its program is told, the next one lives."""

    def scenario() -> None:
        with connected(family) as (listener, server), HostSockets() as sockets:
            own, other = server.getsockname()[1], server.getpeername()[1]
            with socket.create_connection((str(ADDRESS), own), PATIENCE) as beside:
                beside_server, _ = listener.accept()
                assert sockets.close_end((ADDRESS, own), (ADDRESS, other))
                with pytest.raises(ConnectionAbortedError):
                    server.send(b"x")
                with beside_server:
                    beside_server.send(b"x")
                assert beside.recv(1) == b"x"
            assert not sockets.close_end((ADDRESS, own), (ADDRESS, other))

    play(scenario)


def test_a_listener_is_no_connection() -> None:
    """The kernel finds it where there is no connection between the two ends."""

    def scenario() -> None:
        with connected(socket.AF_INET) as (listener, server), HostSockets() as sockets:
            own = server.getsockname()[1]
            assert not sockets.close_end((ADDRESS, own), (ADDRESS, 1))
            with socket.create_connection((str(ADDRESS), own), PATIENCE):
                listener.accept()[0].close()

    play(scenario)


def test_what_the_kernel_cannot_do_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One built without INET_DIAG_DESTROY: in the log, with the other end."""

    def refuse(*_arguments: object) -> None:
        raise NetlinkError(errno.EOPNOTSUPP, "Operation not supported")

    def scenario() -> None:
        with connected(socket.AF_INET) as (_listener, server), HostSockets() as sockets:
            monkeypatch.setattr(NetlinkSocket, "request", refuse)
            own, other = server.getsockname()[1], server.getpeername()[1]
            assert not sockets.close_end((ADDRESS, own), (ADDRESS, other))
            server.send(b"x")
            message = f"cannot close the host's connection with 127.0.0.1:{other}: "
            assert message + "Operation not supported" in caplog.text

    with caplog.at_level(logging.WARNING):
        play(scenario)
