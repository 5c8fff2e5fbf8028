"""Foreign changes of volt's tables are noticed, volt's own and those of other tables are not."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel.scratch import in_namespace
from volt_agent.bus import Bus
from volt_agent.events import RulesetTampered
from volt_agent.kernel import netlink
from volt_agent.kernel.nft import Nft
from volt_agent.kernel.tamper import Reader, TamperWatch, Transaction

pytestmark = pytest.mark.kernel

PLACES = (("inet", "volt"), ("bridge", "volt"))
INET, BRIDGE, IPV4 = 1, 7, 2  # NFPROTO_*, linux/netfilter.h
TABLES = """\
table inet volt {
	set names {
		type ifname
		elements = { "a" }
	}
	chain c {
		accept
	}
}
table bridge volt {
	set ports {
		type ifname
	}
}
table ip other {
	chain c {
	}
}
"""


class Observed:
    """A watch, what it published, and the foreign transactions elsewhere."""

    def __init__(self, nft: Nft) -> None:
        self.by: list[str] = []
        self.elsewhere: list[Transaction] = []
        self._news = asyncio.Event()
        bus = Bus()
        bus.subscribe(RulesetTampered, self._tampered)
        self.watch = TamperWatch(bus, nft.comm, PLACES, self._changed_elsewhere)

    def _tampered(self, event: RulesetTampered) -> None:
        self.by.append(event.by)
        self._news.set()

    def _changed_elsewhere(self, transaction: Transaction) -> None:
        self.elsewhere.append(transaction)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def settle(self) -> None:
        """Until a foreign transaction made now has been told: nothing older is under way."""
        count = len(self.elsewhere)
        foreign("add table ip settle")
        await self.until(lambda: len(self.elsewhere) > count)
        self.elsewhere.pop()


def foreign(command: str) -> None:
    """The real nft, as an administrator runs it."""
    subprocess.run(["nft", "-f", "-"], input=command, text=True, check=True)


def watching(scenario: Callable[[Nft, Observed], Awaitable[None]]) -> None:
    """Run `scenario` with the tables loaded by volt, and the watch started before that."""

    async def run(nft: Nft) -> None:
        observed = Observed(nft)
        observed.watch.start()
        try:
            await nft.run(TABLES)
            await scenario(nft, observed)
        finally:
            observed.watch.close()

    in_namespace(run)


@pytest.mark.parametrize(
    "command",
    [
        "flush ruleset",
        "delete table inet volt",
        "delete table bridge volt",
        "flush table inet volt",
        "flush chain inet volt c",
        "insert rule inet volt c drop",
        "add rule inet volt c drop",
        'delete element inet volt names { "a" }',
        'add element bridge volt ports { "b" }',
        "flush set inet volt names",
        "add chain inet volt d",
        "add table inet volt { flags dormant; }",
        "add table ip mine\ninsert rule inet volt c drop\nadd table ip yours",
    ],
)
def test_foreign_change_is_published_once(command: str) -> None:
    """With the name of the process, whatever else is in the same transaction."""

    async def scenario(_nft: Nft, observed: Observed) -> None:
        foreign(command)
        await observed.settle()
        assert observed.by == ["nft"]

    watching(scenario)


@pytest.mark.parametrize(
    "command",
    [
        "add table ip volt",
        "add chain ip other d",
        "add rule ip other c drop",
        "add table netdev volt",
        "add table inet volt2",
        "add chain ip other volt",
        "delete table ip other",
        "list ruleset",
    ],
)
def test_change_of_other_tables_is_no_tampering(command: str) -> None:
    """The name and the family have to be volt's; others hear of it through `on_foreign`."""

    async def scenario(_nft: Nft, observed: Observed) -> None:
        foreign(command)
        await observed.settle()
        assert observed.by == []
        assert len(observed.elsewhere) == (command != "list ruleset")

    watching(scenario)


def test_own_changes_are_no_tampering() -> None:
    """Not even large ones, which the kernel tells in many messages."""

    async def scenario(nft: Nft, observed: Observed) -> None:
        names = ", ".join(f'"v{number}"' for number in range(5000))
        await nft.run(f"add element inet volt names {{ {names} }}")
        await nft.run("delete table inet volt")
        await nft.run(TABLES)
        await observed.settle()
        assert observed.by == []
        assert observed.elsewhere == []

    watching(scenario)


def test_change_of_another_agent_is_foreign() -> None:
    """Its thread has another name."""

    async def scenario(_nft: Nft, observed: Observed) -> None:
        other = Nft()
        await other.run('add element inet volt names { "b" }')
        await observed.settle()
        assert observed.by == [other.comm]
        await other.close()

    watching(scenario)


def test_refused_foreign_change_is_nothing() -> None:
    """What the kernel rolls back has not happened."""

    async def scenario(_nft: Nft, observed: Observed) -> None:
        with pytest.raises(subprocess.CalledProcessError):
            foreign("insert rule inet volt c drop\nadd chain ip nowhere c")
        await observed.settle()
        assert observed.by == []

    watching(scenario)


def test_lost_messages_are_a_reason_to_verify() -> None:
    """What does not fit into the buffer comes as an event that names nobody."""

    async def scenario(nft: Nft, observed: Observed) -> None:
        sock = observed.watch._socket
        assert sock is not None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        names = ", ".join(f'"v{number}"' for number in range(3000))
        foreign(f"add element inet volt names {{ {names} }}")
        await observed.until(lambda: "" in observed.by)

    watching(scenario)


def test_closed_watch_is_silent() -> None:
    """And may be closed twice."""

    async def scenario(_nft: Nft, observed: Observed) -> None:
        observed.watch.close()
        observed.watch.close()
        foreign("flush ruleset")
        assert observed.by == []

    watching(scenario)


# ---- reading messages ---------------------------------------------------------------------------


def message(kind: int, family: int, *attributes: bytes) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + b"".join(attributes)
    return netlink.encode(netlink.Request(10 << 8 | kind, 0, body), sequence=0)


NEW_RULE, NEW_GENERATION = 6, 15
GENERATION = message(NEW_GENERATION, 0, netlink.number(1, 7), netlink.text(3, "nft"))


def rule(table: str, family: int = INET) -> bytes:
    return message(NEW_RULE, family, netlink.text(1, table), netlink.text(2, "chain"))


def test_transaction_may_span_datagrams() -> None:
    """Its tables are those of all messages up to the generation."""
    reader = Reader()
    assert list(reader.read(rule("volt") + rule("other", IPV4))) == []
    assert list(reader.read(rule("volt", BRIDGE) + GENERATION + rule("late"))) == [
        Transaction("nft", frozenset({(INET, "volt"), (IPV4, "other"), (BRIDGE, "volt")}))
    ]
    assert list(reader.read(GENERATION)) == [Transaction("nft", frozenset({(INET, "late")}))]


def test_messages_of_other_subsystems_are_passed_over() -> None:
    """Conntrack and friends share the protocol."""
    body = struct.pack("=BBH", INET, 0, 0) + netlink.text(1, "volt")
    conntrack = netlink.encode(netlink.Request(1 << 8, 0, body), sequence=0)
    assert list(Reader().read(conntrack + GENERATION)) == [Transaction("nft", frozenset())]


def test_forgetting_starts_anew() -> None:
    """After a loss, the rest of a transaction says nothing about its beginning."""
    reader = Reader()
    list(reader.read(rule("volt")))
    reader.forget()
    assert list(reader.read(GENERATION)) == [Transaction("nft", frozenset())]


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: rule("volt") + tail))
def test_any_bytes_are_read_or_malformed(datagram: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    reader = Reader()
    try:
        list(reader.read(datagram))
    except netlink.Malformed:
        reader.forget()
    assert list(reader.read(rule("volt") + GENERATION))[-1].by == "nft"
