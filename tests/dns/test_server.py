"""The name server on real bridges, in a host of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSRecord

from tests.support.namespaces import add_namespace, delete_namespace, network_namespace
from volt_agent.dns.server import DnsSettings, NameServer
from volt_agent.dns.sockets import RECEIVE_BUFFER
from volt_agent.errors import Failed
from volt_agent.model.network import Network
from volt_agent.model.snapshot import Change, Snapshot

from .keeper import Keeper
from .origin import origin
from .world import BACKEND, FRONTEND, attached, packet, port, run, until

pytestmark = pytest.mark.kernel

SNAPSHOT = Snapshot().apply(
    Change(
        put=(
            BACKEND,
            FRONTEND,
            *attached("backend", "db", "10.30.0.5"),
            *attached("frontend", "web", "10.20.0.2"),
        )
    )
)
GATEWAY = ("10.30.0.1", 53)

_WIRING = """\
link set lo up
link add volt-backend type bridge
address add 10.30.0.1/24 dev volt-backend
link set volt-backend up
link add volt-frontend type bridge
address add 10.20.0.1/24 dev volt-frontend
link set volt-frontend up
"""
_REMAKE = """\
link del volt-backend
link add volt-backend type bridge
address add 10.30.0.1/24 dev volt-backend
link set volt-backend up
link set vc-db master volt-backend
"""


class Host:
    """A host with the bridges of two networks and a workload on each, in namespaces."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.home = directory / "host"
        for name in ("host", "db", "web"):
            add_namespace(directory / name)
        self.ip("host", _WIRING)
        self._attach("db", "volt-backend", "10.30.0.5")
        self._attach("web", "volt-frontend", "10.20.0.2")

    def ip(self, where: str, batch: str) -> None:
        enter = ["nsenter", f"--net={self._directory / where}"]
        subprocess.run([*enter, "ip", "-batch", "-"], input=batch, text=True, check=True)

    def _attach(self, name: str, bridge: str, address: str) -> None:
        peer = f"vc-{name} master {bridge} up type veth peer eth0 netns {self._directory / name}"
        self.ip("host", f"link add {peer}\n")
        gateway = address.rpartition(".")[0] + ".1"
        self.ip(
            name,
            f"link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n"
            f"route add default via {gateway}\n",
        )

    def socket(self, where: str, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """A socket in a namespace, non-blocking."""
        with network_namespace(self._directory / where):
            return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)

    def index(self, network: Network) -> int:
        with network_namespace(self.home):
            return socket.if_nametoindex(network.bridge)

    def remake_bridge(self) -> None:
        self.ip("host", _REMAKE)

    def remove(self) -> None:
        for name in ("db", "web", "host"):
            delete_namespace(self._directory / name)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if os.geteuid():
        pytest.skip("needs root")
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


def serving(
    host: Host, keeper: Keeper, settings: DnsSettings | None = None, *networks: Network
) -> NameServer:
    """A name server on the host's gateways. To be called on the loop."""
    names = NameServer(settings or DnsSettings(), keeper)
    names.start(SNAPSHOT)
    with network_namespace(host.home):
        for each in networks or (BACKEND, FRONTEND):
            names.open(each, host.index(each))
    return names


async def ask(sock: socket.socket, query: bytes, server: tuple[str, int] = GATEWAY) -> DNSRecord:
    """Over UDP; the socket is closed."""
    loop = asyncio.get_running_loop()
    with sock:
        sock.connect(server)
        sock.send(query)
        return DNSRecord.parse(await loop.sock_recv(sock, 4096))


async def ask_over_tcp(sock: socket.socket, query: bytes) -> DNSRecord:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, GATEWAY)
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(len(query).to_bytes(2, "big") + query)
    length = int.from_bytes(await reader.readexactly(2), "big")
    reply = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return DNSRecord.parse(reply)


def crash(names: NameServer) -> None:
    """End like a process that is killed: nothing is answered any more, descriptors close."""
    for door in names._open.values():
        door.close()


def addresses(reply: DNSRecord) -> list[str]:
    return [str(each.rdata) for each in reply.rr]


def test_a_workload_and_the_host_are_answered(host: Host, keeper: Keeper) -> None:
    """Over UDP and TCP, each as it may see; what changes is right in the next answer."""

    async def main() -> None:
        names = serving(host, keeper)
        for where, web in (("db", []), ("host", ["10.20.0.2"])):
            assert addresses(await ask(host.socket(where), packet("db"))) == ["10.30.0.5"]
            assert addresses(await ask(host.socket(where), packet("web"))) == web
            stream = host.socket(where, socket.SOCK_STREAM)
            assert addresses(await ask_over_tcp(stream, packet("web"))) == web
        gone = Change(put=(port("backend", "db", "10.30.0.5", up=False),))
        names.follow(SNAPSHOT, SNAPSHOT.apply(gone), gone)
        assert addresses(await ask(host.socket("db"), packet("db"))) == []
        await names.close()

    run(main())


def test_a_gateway_is_deaf_to_other_networks(host: Host, keeper: Keeper) -> None:
    """The sockets are bound to their bridge, not just to their address."""

    async def main() -> None:
        names = serving(host, keeper)
        with pytest.raises(ConnectionRefusedError):
            await ask(host.socket("web"), packet("db"))
        assert addresses(await ask(host.socket("web"), packet("web"), ("10.20.0.1", 53)))
        await names.close()

    run(main())


def test_the_receive_buffer_holds_a_restart(host: Host, keeper: Keeper) -> None:
    """4 MiB, or what the kernel allows where it cannot be forced."""

    async def main() -> None:
        names = serving(host, keeper)
        kept = keeper.kept["dns-udp-backend"]
        assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= RECEIVE_BUFFER
        await names.close()

    run(main())


def test_opening_again_changes_nothing(host: Host, keeper: Keeper) -> None:
    """The same sockets go on."""

    async def main() -> None:
        names = serving(host, keeper)
        before = [each.fileno() for each in keeper.kept.values()]
        with network_namespace(host.home):
            names.open(BACKEND, host.index(BACKEND))
        assert [each.fileno() for each in keeper.kept.values()] == before
        assert addresses(await ask(host.socket("db"), packet("db")))
        await names.close()

    run(main())


def test_a_remade_bridge_is_moved_to(host: Host, keeper: Keeper) -> None:
    """Queries that were queued before are answered after; new ones too, over UDP and TCP."""

    async def main() -> None:
        names = serving(host, keeper)
        with host.socket("db") as early:
            early.connect(GATEWAY)
            for i in range(20):
                early.send(packet("db", id=i))
            host.remake_bridge()  # the loop stands still: nothing is answered yet
            with network_namespace(host.home):
                names.open(BACKEND, host.index(BACKEND))
            loop = asyncio.get_running_loop()
            replies = [await loop.sock_recv(early, 512) for _ in range(20)]
            assert {int.from_bytes(each[:2], "big") for each in replies} == set(range(20))
        assert addresses(await ask(host.socket("db"), packet("db")))
        assert addresses(await ask_over_tcp(host.socket("db", socket.SOCK_STREAM), packet("db")))
        assert addresses(await ask(host.socket("host"), packet("db")))
        await names.close()

    run(main())


@pytest.mark.parametrize("crashes", [False, True], ids=["stop", "crash"])
@pytest.mark.parametrize("remade", [False, True], ids=["same bridge", "remade bridge"])
def test_no_query_is_lost_over_a_restart(
    host: Host, keeper: Keeper, crashes: bool, remade: bool
) -> None:
    """What arrives while nobody serves waits in the kept socket.

    Connections wait as well, unless the bridge that they came over is gone.
    """

    async def main() -> None:
        names = serving(host, keeper)
        assert addresses(await ask(host.socket("db"), packet("db")))
        crash(names) if crashes else await names.close()
        keeper.next_life()
        asked = [asyncio.create_task(ask(host.socket("db"), packet("db", id=i))) for i in range(50)]
        if not remade:
            stream = host.socket("db", socket.SOCK_STREAM)
            asked.append(asyncio.create_task(ask_over_tcp(stream, packet("db"))))
        await asyncio.sleep(0)  # now they have sent
        if remade:
            host.remake_bridge()
        names = serving(host, keeper)
        assert all(map(addresses, await asyncio.gather(*asked)))
        await names.close()

    run(main())


def test_a_kept_socket_of_another_address_is_replaced(host: Host, keeper: Keeper) -> None:
    """And so is one of another kind."""

    async def main() -> None:
        with network_namespace(host.home), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as odd:
            odd.bind(("127.0.0.1", 0))
            keeper.keep("dns-udp-backend", odd)
            keeper.keep("dns-tcp-backend", odd)
        keeper.next_life()
        names = serving(host, keeper)
        assert addresses(await ask(host.socket("db"), packet("db")))
        assert addresses(await ask_over_tcp(host.socket("db", socket.SOCK_STREAM), packet("db")))
        assert keeper.kept["dns-udp-backend"].getsockname() == GATEWAY
        await names.close()

    run(main())


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_taken_is_named(host: Host, keeper: Keeper, kind: socket.SocketKind) -> None:
    """With what to do about it; it works once the port is free, and nothing is left half open."""

    async def main() -> None:
        other = host.socket("host", kind)
        with other:
            other.bind(("0.0.0.0", 53))
            if kind == socket.SOCK_STREAM:
                other.listen()
            with pytest.raises(Failed, match=r"10\.30\.0\.1 port 53") as caught:
                serving(host, keeper, None, BACKEND)
            assert "another server" in str(caught.value.hint)
            assert keeper.kept == {}
        names = serving(host, keeper)
        assert addresses(await ask(host.socket("db"), packet("db")))
        await names.close()

    run(main())


def test_a_closed_network_is_forgotten(host: Host, keeper: Keeper) -> None:
    """No socket, no kept socket; the others go on."""

    async def main() -> None:
        names = serving(host, keeper)
        assert [str(each) for each in names.listening] == ["10.20.0.1", "10.30.0.1"]
        names.close_network("backend")
        names.close_network("backend")
        assert [str(each) for each in names.listening] == ["10.20.0.1"]
        assert sorted(keeper.kept) == ["dns-tcp-frontend", "dns-udp-frontend"]
        keeper.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(host.socket("db"), packet("db"))
        assert addresses(await ask(host.socket("web"), packet("web"), ("10.20.0.1", 53)))
        await names.close()

    run(main())


def test_an_upstream_that_is_ourselves_is_not_asked(host: Host, keeper: Keeper) -> None:
    """SERVFAIL at once instead of a loop."""

    async def main() -> None:
        names = serving(host, keeper, DnsSettings(upstreams=(GATEWAY,)))
        reply = await ask(host.socket("db"), packet("www.example.com"))
        assert reply.header.rcode == 2
        assert names.counters.upstream_queries == 0
        await names.close()

    run(main(), limit=2.0)


def test_close_answers_to_the_end(host: Host, keeper: Keeper) -> None:
    """What has arrived, and what is on its way upstream."""

    async def main() -> None:
        with network_namespace(host.home):  # the upstream server lives on the host's loopback
            async with origin() as upstream:
                names = serving(host, keeper, DnsSettings(upstreams=(upstream.address,)))
                upstream.held.clear()
                outside = asyncio.create_task(ask(host.socket("db"), packet("www.example.com")))
                await until(lambda: upstream.over_udp)
                closing = asyncio.create_task(names.close())
                ours = asyncio.create_task(ask(host.socket("db"), packet("db")))
                await asyncio.sleep(0)
                upstream.held.set()
                await closing
                assert addresses(await outside) == ["192.0.2.1"]
                assert addresses(await ours) == ["10.30.0.5"]

    run(main())
