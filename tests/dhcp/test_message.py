"""One message <-> octets."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.dhcp.message import (
    SIZE_DEFAULT,
    SIZE_MIN,
    Kind,
    Malformed,
    Message,
    encode,
    parse,
)
from volt_agent.dhcp.options import Option, search_list

MAC = "02:00:00:00:00:07"
DISCOVER = Message(kind=Kind.DISCOVER, xid=7, mac=MAC, options={Option.CLIENT_ID: b"\1abcdef"})

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
macs = st.binary(min_size=6, max_size=6).filter(lambda each: not each[0] & 1 and any(each))
# Codes that the parser gives no meaning to; those with one have their own tests.
codes = st.integers(1, 254).filter(lambda each: each not in (50, 52, 53, 54, 57, 61))
messages = st.builds(
    Message,
    kind=st.sampled_from(Kind),
    xid=st.integers(0, 2**32 - 1),
    mac=macs.map(lambda each: each.hex(":")),
    op=st.sampled_from([1, 2]),
    hops=st.integers(0, 16),
    seconds=st.integers(0, 65535),
    broadcast=st.booleans(),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    options=st.dictionaries(codes, st.binary(min_size=1, max_size=60), max_size=4),
)


@given(messages)
def test_what_is_written_reads_the_same(message: Message) -> None:
    """Every field, every option."""
    assert parse(encode(message)) == message


@given(st.dictionaries(codes, st.binary(min_size=200, max_size=600), max_size=4))
def test_a_reply_fits(options: dict[int, bytes]) -> None:
    """What does not fit is left out whole; long values are split and joined (RFC 3396)."""
    message = Message(kind=Kind.ACK, xid=1, mac=MAC, op=2, options=options)
    data = encode(message)
    assert SIZE_MIN <= len(data) <= SIZE_DEFAULT
    kept = parse(data).options
    assert all(options[code] == value for code, value in kept.items())
    assert dict(parse(encode(message, 4000)).options) == options


def replaced(at: int, octets: bytes) -> bytes:
    data = encode(DISCOVER)
    return data[:at] + octets + data[at + len(octets) :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode(DISCOVER)[:239],
        replaced(0, b"\3"),
        replaced(1, b"\6"),
        replaced(2, b"\0"),
        replaced(2, b"\x10"),
        replaced(3, b"\x11"),
        replaced(28, b"\1\0\0\0\0\1"),
        replaced(28, bytes(6)),
        replaced(28, b"\xff" * 6),
        replaced(236, b"\x63\x82\x53\x64"),
        replaced(240, b"\xff"),
        replaced(240, b"\x35\x01\x00"),
        replaced(240, b"\x35\x01\x09"),
        replaced(240, b"\x35\x02\x01\x01"),
        replaced(243, b"\x32\x03\0\0\0\xff"),
        replaced(243, b"\x36\x05\0\0\0\0\0\xff"),
        replaced(243, b"\x39\x01\0\xff"),
        replaced(243, b"\x3d\x01\0\xff"),
        replaced(243, b"\x34\x01\x04\xff"),
        encode(DISCOVER)[:243] + b"\x0c\x20abc",
        encode(DISCOVER)[:243] + b"\x0c",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """Too short, another hardware, another protocol, no type, options of impossible lengths."""
    with pytest.raises(Malformed):
        parse(data)


def test_options_overflow_into_file_and_sname() -> None:
    """Where a client had no room (RFC 2132, section 9.3)."""
    data = bytearray(encode(DISCOVER))
    data[243:247] = b"\x34\x01\x03\xff"
    data[108:116] = b"\x32\x04\x0a\x1e\x00\x05\xff\0"
    data[44:50] = b"\x36\x04\x0a\x1e\x00\x01"
    data[50:51] = b"\xff"
    message = parse(bytes(data))
    assert (str(message.requested), str(message.server)) == ("10.30.0.5", "10.30.0.1")


def test_search_list_is_in_dns_format() -> None:
    """RFC 3397, section 2."""
    assert search_list(["volt.local", "a"]) == b"\x04volt\x05local\0\x01a\0"


def mutations(count: int, seed: int = 1) -> list[bytes]:
    """Messages with octets changed, cut, doubled or inserted at random places."""
    rng = random.Random(seed)
    whole = encode(
        Message(
            kind=Kind.REQUEST,
            xid=1,
            mac=MAC,
            options={
                50: b"\x0a\x1e\0\5",
                54: b"\x0a\x1e\0\1",
                61: b"\1abcdef",
                55: bytes(range(9)),
            },
        )
    )[:290]
    found = []
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data)) if data else 0
            match rng.randrange(4):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    del data[at : at + rng.randint(1, 40)]
                case 2:
                    data[at:at] = rng.randbytes(rng.randint(1, 40))
                case _:
                    data[240:240] = rng.randbytes(rng.randint(1, 8))
        found.append(bytes(data))
    return found


def test_mutated_messages_are_read_or_refused() -> None:
    """Nothing but Malformed ever comes out, and what is read can be written."""
    for data in mutations(20_000):
        try:
            message = parse(data)
        except Malformed:
            continue
        encode(message)
