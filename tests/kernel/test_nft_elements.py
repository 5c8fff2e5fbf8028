"""Elements of sets come and go past libnftables, all of them or none."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.kernel.scratch import in_namespace
from volt_agent.errors import KernelRefused
from volt_agent.kernel.netlink import NetlinkError, Request
from volt_agent.kernel.netlink_socket import NetlinkSocket
from volt_agent.kernel.nft import Nft
from volt_agent.kernel.nft_elements import NETFILTER, Elements, addition, deletion
from volt_agent.kernel.nft_keys import key_bytes

TABLE = """\
table inet t {
	set names {
		type ifname
		elements = { "a", "b", "c" }
	}
}
"""


def names(*each: str) -> Elements:
    return Elements("inet", "t", "names", "ifname", None, each)


@pytest.mark.kernel
def test_elements_come_and_go_as_one_transaction() -> None:
    """All requests, or none and the reason of the first that failed; the next go through."""

    async def scenario(nft: Nft) -> None:
        await nft.run(TABLE)
        await nft.change_elements([deletion(names('"a"')), addition(names('"d"', '"e"'))])
        before = await nft.listing("inet", "t")
        assert before is not None
        assert [name for name in "abcde" if f'"{name}"' in before] == ["b", "c", "d", "e"]
        for bad in (deletion(names('"a"')), addition(replace(names('"x"'), set="nowhere"))):
            with pytest.raises(KernelRefused, match="nftables refused the change: ") as caught:
                await nft.change_elements([addition(names('"f"')), bad, addition(names('"g"'))])
            assert caught.value.errno == errno.ENOENT
            assert await nft.listing("inet", "t") == before
        await nft.change_elements([addition(names('"f"'))])
        assert await nft.listing("inet", "t") != before

    in_namespace(scenario)


@pytest.mark.kernel
def test_a_refusal_of_the_whole_is_no_reason_to_wait() -> None:
    """The kernel answers the first message then, and none of the requests."""

    async def scenario(_nft: Nft) -> None:
        with NetlinkSocket(NETFILTER) as netlink, pytest.raises(NetlinkError):
            netlink.transact(99, [Request(99 << 8, 0, bytes(4))])  # there is no such subsystem

    in_namespace(scenario)


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ('"eth0"', "ifname", b"eth0" + bytes(12)),
        ("ipv6", "nf_proto", b"\x0a"),
        ("6 . 80", "inet_proto . inet_service", b"\x06\0\0\0\0\x50\0\0"),
        ("10.0.0.1 . 17", "ipv4_addr . inet_proto", b"\x0a\0\0\x01\x11\0\0\0"),
        ('"a" . 02:00:00:00:00:01', "ifname . ether_addr", b"a" + bytes(15) + b"\2\0\0\0\0\1\0\0"),
    ],
)
def test_keys_have_the_form_of_the_kernels_registers(text: str, types: str, value: bytes) -> None:
    """Each part of several begins on 4 bytes."""
    assert key_bytes(text, types) == value


TYPES = st.sampled_from(
    ["ifname", "ether_addr", "ipv4_addr", "nf_proto", "inet_proto", "inet_service", "mark"]
)


@given(st.text() | st.from_regex(r"[0-9.:/ -]{1,20}"), st.lists(TYPES, min_size=1, max_size=3))
def test_what_is_no_key_is_an_error_of_one_kind(text: str, types: list[str]) -> None:
    """And what is one has whole registers."""
    try:
        value = key_bytes(text, " . ".join(types))
    except ValueError:
        return
    assert len(types) == 1 or len(value) % 4 == 0
