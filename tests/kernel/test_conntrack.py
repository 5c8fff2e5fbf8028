"""Connections are forgotten by what the flows say, and no others."""

from __future__ import annotations

import socket
import subprocess
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel.worlds import FakeWorld, LinuxWorld, World, on_fake, on_linux
from volt_agent.kernel import conntrack
from volt_agent.kernel.conntrack import Tracked, matches
from volt_agent.kernel.edge import Flow
from volt_agent.kernel.netlink import attribute, nested
from volt_agent.kernel.ops import SetLink

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
A, B, C, D = (IPv4Address(f"127.0.0.{n}") for n in (11, 12, 13, 14))

ADDRESSES = st.sampled_from([A, B, C])
TRACKED = st.builds(
    Tracked,
    source=ADDRESSES,
    destination=ADDRESSES,
    protocol=st.sampled_from([1, TCP, UDP]),
    destination_port=st.sampled_from([None, 53, 80]),
    reply_source=ADDRESSES,
)


@pytest.mark.parametrize(
    ("flow", "is_meant"),
    [
        (Flow(), True),
        (Flow(source=A), True),
        (Flow(source=B), False),
        (Flow(destination=B), True),
        (Flow(destination=C), False),
        (Flow(protocol=UDP, destination_port=53), True),
        (Flow(protocol=TCP, destination_port=53), False),
        (Flow(destination_port=54), False),
        (Flow(either=A), True),
        (Flow(either=B), True),
        (Flow(either=C), True),
        (Flow(either=D), False),
        (Flow(source=A, either=D), False),
    ],
)
def test_a_flow_means_what_agrees_with_all_that_it_names(flow: Flow, is_meant: bool) -> None:
    """From A to B, port 53, translated to C."""
    tracked = Tracked(A, B, UDP, 53, C)
    assert matches(flow, tracked) == is_meant


@given(TRACKED)
def test_a_flow_that_names_nothing_means_all(tracked: Tracked) -> None:
    """And one that names an end that is not there means none."""
    assert matches(Flow(), tracked)
    assert not matches(Flow(either=D), tracked)


# A table with one connection for each kind of selector; NAT sends D:7000 to C:7001.
CONNECTIONS = [
    Tracked(A, B, UDP, 5000, B),
    Tracked(A, C, UDP, 5000, C),
    Tracked(B, C, UDP, 6000, C),
    Tracked(B, A, UDP, 6001, A),
    Tracked(A, D, UDP, 7000, C),
]

CASES: dict[str, tuple[list[Flow], set[int]]] = {
    "by source": ([Flow(source=B)], {2, 3}),
    "by destination": ([Flow(destination=B)], {0}),
    "by protocol and port": ([Flow(protocol=UDP, destination_port=5000)], {0, 1}),
    "by port alone": ([Flow(destination_port=6000)], {2}),
    "by original, not translated, port": ([Flow(protocol=UDP, destination_port=7000)], {4}),
    "by all of them": ([Flow(A, C, UDP, 5000)], {1}),
    "by either end": ([Flow(either=A)], {0, 1, 3, 4}),
    "by the end behind the translation": ([Flow(either=C)], {1, 2, 4}),
    "by protocol": ([Flow(protocol=UDP)], {0, 1, 2, 3, 4}),
    "by another protocol": ([Flow(protocol=TCP)], set()),
    "by several flows": ([Flow(destination=B), Flow(source=B, destination=A)], {0, 3}),
    "by many flows": (
        [Flow(destination=B), *(Flow(protocol=UDP, destination_port=n) for n in range(6000, 6009))],
        {0, 2, 3},
    ),
    "nothing": ([], set()),
}


@pytest.mark.parametrize("case", CASES)
def test_forgetting_on_the_fake(case: str) -> None:
    """Those that are meant, counted."""
    flows, meant = CASES[case]

    async def scenario(world: FakeWorld) -> None:
        world.edge.flows = list(CONNECTIONS)
        assert await world.edge.forget_flows(flows) == len(meant)
        left = [each for n, each in enumerate(CONNECTIONS) if n not in meant]
        assert world.edge.flows == left

    on_fake(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES)
def test_forgetting_on_the_kernel(case: str) -> None:
    """The same connections, made by real packets and seen in /proc."""
    flows, meant = CASES[case]

    async def scenario(world: LinuxWorld) -> None:
        await world.edge.execute([SetLink(name="lo", up=True)])
        track_everything()
        with Senders() as senders:
            for tracked in CONNECTIONS:
                senders.send(tracked)
            assert await world.edge.forget_flows(flows) == len(meant)
            left = {key(each) for n, each in enumerate(CONNECTIONS) if n not in meant}
            assert tracked_by_kernel() == left

    on_linux(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES)
def test_the_kernels_filters_bring_all_that_is_meant(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in a large table, where each selector is a question of its own."""
    monkeypatch.setattr(conntrack, "_ENTRIES_PER_WALK", 0)
    test_forgetting_on_the_kernel(case)


@pytest.mark.parametrize(
    ("flows", "tracked", "asked"),
    [
        ([Flow(source=A)], 0, 1),
        ([Flow(either=A)], 100, 1),
        ([Flow(either=A)], 100_000, 3),
        ([Flow(destination_port=n) for n in range(30)], 10_000, 1),
        ([Flow(source=A), Flow(source=B)], 10_000, 2),
    ],
)
def test_small_tables_are_read_whole(flows: list[Flow], tracked: int, asked: int) -> None:
    """Large ones are filtered by the kernel, which walks through them once for each question."""
    assert len(conntrack.questions(flows, tracked)) == asked


@pytest.mark.kernel
def test_thousands_of_connections_are_forgotten_at_once() -> None:
    """More than fit into one batch or one datagram."""

    async def scenario(world: LinuxWorld) -> None:
        await world.edge.execute([SetLink(name="lo", up=True)])
        track_everything()
        with Senders() as senders:
            for port in range(10_000, 13_000):
                senders.send(Tracked(A, B, UDP, port, B))
            senders.send(Tracked(A, C, UDP, 5000, C))
            assert await world.edge.forget_flows([Flow(either=B)]) == 3000
            assert tracked_by_kernel() == {key(Tracked(A, C, UDP, 5000, C))}

    on_linux(scenario)


class Senders:
    """One UDP socket for each source."""

    def __enter__(self) -> Senders:
        self._sockets = {
            source: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for source in (A, B)
        }
        for source, each in self._sockets.items():
            each.bind((str(source), 0))
            # ICMP errors from earlier datagrams are not what is tried here.
            each.setsockopt(socket.IPPROTO_IP, 11, 0)
        return self

    def __exit__(self, *_exception: object) -> None:
        for each in self._sockets.values():
            each.close()

    def send(self, tracked: Tracked) -> None:
        target = (str(tracked.destination), tracked.destination_port or 0)
        self._sockets[tracked.source].sendto(b"", target)


def track_everything() -> None:
    """Conntrack works in a namespace once a rule asks for it; nothing may answer."""
    rules = f"""
        table ip t {{
            chain nat {{
                type nat hook output priority -100
                ip daddr {D} udp dport 7000 dnat to {C}:7001
            }}
            chain in {{
                type filter hook input priority 0
                ct state new,established accept
            }}
            chain out {{
                type filter hook output priority 0
                icmp type destination-unreachable drop
            }}
        }}
    """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def key(tracked: Tracked) -> tuple[str, ...]:
    return str(tracked.source), str(tracked.destination), str(tracked.destination_port)


def tracked_by_kernel() -> set[tuple[str, ...]]:
    """(source, destination, destination port) of the original directions, as /proc has them."""
    with open("/proc/thread-self/net/nf_conntrack") as table:
        found: set[tuple[str, ...]] = set()
        for line in table:
            fields = [each.split("=", 1) for each in line.split() if "=" in each]
            original = dict(reversed(fields))
            found.add((original["src"], original["dst"], original["dport"]))
        return found


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(on_linux, marks=pytest.mark.kernel, id="linux"),
        pytest.param(on_fake, id="fake"),
    ],
)
def test_an_empty_table_is_no_error(play: object) -> None:
    """Nothing is forgotten where nothing is tracked."""

    async def scenario(world: World) -> None:
        assert await world.edge.forget_flows([Flow(either=A)]) == 0

    assert callable(play)
    play(scenario)


def direction(source: IPv4Address, destination: IPv4Address, number: int, *ports: int) -> bytes:
    """A CTA_TUPLE_* as the kernel writes it."""
    addresses = attribute(1, source.packed) + attribute(2, destination.packed)
    carried = attribute(1, bytes((number,)))
    carried += b"".join(attribute(n, port.to_bytes(2, "big")) for n, port in enumerate(ports, 2))
    return nested(1, addresses) + nested(2, carried)


PORTS = st.integers(0, 65535)


@given(ADDRESSES, ADDRESSES, st.sampled_from([TCP, UDP]), PORTS, PORTS, PORTS)
def test_the_usual_form_of_an_entry_is_read_as_any_other(
    source: IPv4Address, destination: IPv4Address, number: int, a: int, b: int, c: int
) -> None:
    """The same entry in another form (with an attribute more in each direction)."""
    original = direction(source, destination, number, a, b)
    reply = direction(D, source, number, c, a)
    readings = [
        conntrack.decode(bytes(4) + nested(1, original, more) + nested(2, reply, more))[0]
        for more in (b"", attribute(9, b"?"))
    ]
    assert readings == [Tracked(source, destination, number, b, D, c, a)] * 2
