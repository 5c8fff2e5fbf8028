"""nftables transactions and listings, in the real kernel."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernel.scratch import in_namespace
from volt_agent.errors import KernelRefused
from volt_agent.kernel.nft import Nft, refusal, scratch_listing
from volt_agent.kernel.nft_listing import Counted, counted, normalised

pytestmark = pytest.mark.kernel

TABLE = """\
table inet t {
	counter drops {
	}
	set names {
		type ifname
		elements = { "a", "b", "c" }
	}
	chain first {
		type filter hook input priority 0; policy accept;
		ct state vmap { established : accept, related : accept }
		iifname @names counter name drops drop
		counter accept
	}
}
"""
PLACE = [("inet", "t")]


def test_text_is_one_transaction() -> None:
    """All of it, or, with one mistake in it, nothing."""

    async def scenario(nft: Nft) -> None:
        await nft.run(TABLE)
        before = await nft.listing("inet", "t")
        with pytest.raises(KernelRefused):
            await nft.run('add element inet t names { "d" }\nadd element inet t nowhere { 1 }\n')
        assert await nft.listing("inet", "t") == before

    in_namespace(scenario)


@pytest.mark.parametrize(
    ("text", "message", "number"),
    [
        ("add chain inet nowhere c", "No such file or directory", errno.ENOENT),
        ("delete table inet nowhere", "No such file or directory", errno.ENOENT),
        ("create table inet t\ncreate table inet t", "File exists", errno.EEXIST),
        ("frobnicate", "syntax error", 0),
        ("add table inet t {", "syntax error", 0),
        ('add table inet "t', "syntax error", 0),
    ],
)
def test_refusal_has_the_reason_and_the_errno(text: str, message: str, number: int) -> None:
    """One line without nft's positions and carets."""

    async def scenario(nft: Nft) -> None:
        with pytest.raises(KernelRefused, match=message) as caught:
            await nft.run(text)
        assert caught.value.message.startswith("nftables refused the change: ")
        assert "\n" not in caught.value.message
        assert caught.value.errno == number

    in_namespace(scenario)


def test_suggestion_is_no_part_of_the_reason() -> None:
    """nft guesses at a set with a similar name; the errno is to be found all the same."""
    error = refusal("Error: No such file or directory; did you mean set 'sources' in table?\nadd")
    assert error.message == "nftables refused the change: No such file or directory"
    assert error.errno == errno.ENOENT


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_complaint_becomes_one_line(complaint: str) -> None:
    """Whatever nft prints, the user gets one line."""
    error = refusal(complaint)
    assert len(error.message.splitlines()) == 1


def test_a_long_life_after_refusals() -> None:
    """A refused transaction leaves the context usable."""

    async def scenario(nft: Nft) -> None:
        for _ in range(20):
            with pytest.raises(KernelRefused):
                await nft.run("add chain inet nowhere c")
        await nft.run(TABLE)

    in_namespace(scenario)


def test_missing_table() -> None:
    """Has no listing and no counters."""

    async def scenario(nft: Nft) -> None:
        assert await nft.listing("inet", "nowhere") is None
        assert await nft.counters("inet", "nowhere") == {}

    in_namespace(scenario)


def test_listing_is_the_same_after_loading_again() -> None:
    """Handles, counts and the kernel's order of elements do not show."""

    async def scenario(nft: Nft) -> None:
        names = ", ".join(f'"v{number}"' for number in range(300))
        more = f"add element inet t names {{ {names} }}\n"
        await nft.run(TABLE + more)
        first = await nft.listing("inet", "t")
        await nft.run("delete table inet t\n" + more.join([TABLE, ""]))
        assert await nft.listing("inet", "t") == first
        assert await scratch_listing(TABLE + more, PLACE) == [first]

    in_namespace(scenario)


@pytest.mark.parametrize(
    "change",
    [
        'add element inet t names { "d" }',
        'delete element inet t names { "a" }',
        "add rule inet t first accept",
        "insert rule inet t first accept",
        "add chain inet t second",
        "add chain inet t first { policy drop; }",
        "add set inet t more { type ifname; }",
        "add counter inet t more",
        "add table inet t { flags dormant; }",
    ],
)
def test_listing_differs_after_any_change(change: str) -> None:
    """What treats a packet otherwise has another listing."""

    async def scenario(nft: Nft) -> None:
        await nft.run(TABLE)
        before = await nft.listing("inet", "t")
        await nft.run(change)
        assert await nft.listing("inet", "t") != before

    in_namespace(scenario)


def test_order_of_rules_shows() -> None:
    """Of elements it does not matter, of rules it does."""

    async def listings(*rules: str) -> list[str | None]:
        text = "table inet t {\n\tchain c {\n" + "\n".join(rules) + "\n\t}\n}\n"
        return await scratch_listing(text, PLACE)

    async def scenario() -> None:
        one, other = "tcp dport 1 drop", "tcp dport 2 accept"
        assert await listings(one, other) != await listings(other, one)

    asyncio.run(scenario())


def test_counters_have_names_and_counts() -> None:
    """Only named ones; what they counted comes with them."""

    async def scenario(nft: Nft) -> None:
        await nft.run("table inet t {\n\tcounter drops {\n\t\tpackets 3 bytes 180\n\t}\n}\n")
        assert await nft.counters("inet", "t") == {"drops": Counted(3, 180)}

    in_namespace(scenario)


def test_scratch_listing_leaves_the_namespace_alone() -> None:
    """The text is loaded elsewhere, and elsewhere is gone afterwards."""

    async def scenario(nft: Nft) -> None:
        assert None not in await scratch_listing(TABLE, PLACE)
        assert await nft.listing("inet", "t") is None

    in_namespace(scenario)
    deadline = time.monotonic() + 60
    while any("volt-nft-scratch" in each.name for each in threading.enumerate()):
        assert time.monotonic() < deadline


def test_scratch_listing_of_a_bad_text() -> None:
    """Is refused as the real load would be."""
    with pytest.raises(KernelRefused, match="No such file or directory"):
        asyncio.run(scratch_listing("add chain inet nowhere c", PLACE))


def names_of_threads() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {(each / "comm").read_text().strip() for each in tasks}


def test_thread_is_known_by_a_name_of_its_own() -> None:
    """At most 15 characters, and another one for each Nft: tamper tells them apart by it."""

    async def scenario(nft: Nft) -> None:
        await nft.run("add table inet t")
        assert nft.comm in names_of_threads()

    in_namespace(scenario)
    assert len(Nft().comm) <= 15
    assert Nft().comm != Nft().comm


def test_many_threads_at_once() -> None:
    """libnftables has global state; transactions of several contexts do not mix."""

    def load(number: int) -> None:
        names = "".join(f"\tset s{each} {{\n\t\ttype ifname\n\t}}\n" for each in range(40))
        text = f"table inet t{number} {{\n{names}}}\n"
        (listing,) = asyncio.run(scratch_listing(text, [("inet", f"t{number}")]))
        assert listing is not None
        assert len(json.loads(listing)) == 41

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(load, range(40)))


def test_the_loop_goes_on_while_the_kernel_works() -> None:
    """Ten thousand elements take a tenth of a second, in which nobody else waits."""

    async def scenario(nft: Nft) -> None:
        names = ", ".join(f'"v{number}"' for number in range(10_000))
        load = asyncio.ensure_future(nft.run(f"{TABLE}add element inet t names {{ {names} }}\n"))
        # On the clock of the loop's own work: how long others keep us from it is not in question.
        longest, last = 0.0, time.thread_time()
        while not load.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
        await load
        assert longest < 0.05

    in_namespace(scenario)


# ---- reading listings ---------------------------------------------------------------------------


def listing(*objects: object) -> bytes:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *objects]}).encode()


def test_normalised_keeps_what_matters() -> None:
    """Kind, names, rules; not handles, counts or the order in which things were made."""
    rule = {"rule": {"chain": "c", "handle": 4, "expr": [{"counter": {"packets": 1, "bytes": 2}}]}}
    names = {"set": {"name": "s", "handle": 2, "elem": ["b", "a"]}}
    assert json.loads(normalised(listing(rule, names))) == [
        {"rule": {"chain": "c", "expr": [{"counter": {}}]}},
        {"set": {"name": "s", "elem": ["a", "b"]}},
    ]


def test_normalised_takes_names_that_are_no_text() -> None:
    """An interface name is any bytes to the kernel."""
    assert "\ufffd" in normalised(b'{"nftables": [{"set": {"name": "s", "elem": ["\xff"]}}]}')


def test_counted_takes_named_counters_only() -> None:
    """Counters within rules have no name to be found by."""
    objects = [
        {"counter": {"name": "drops", "packets": 1, "bytes": 40, "handle": 3}},
        {"rule": {"chain": "c", "expr": [{"counter": {"packets": 9, "bytes": 9}}]}},
    ]
    assert counted(listing(*objects)) == {"drops": Counted(1, 40)}


elements = st.lists(st.text(max_size=5) | st.integers() | st.lists(st.text(max_size=3)))


@given(elements, st.randoms())
def test_order_of_elements_never_matters(names: list[object], random: object) -> None:
    """Of any elements: names, numbers or concatenations."""
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (listing({"set": {"name": "s", "elem": each}}) for each in (names, shuffled))
    assert normalised(one) == normalised(other)
