"""Connections as bytes and back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.handover.connections import (
    FULL,
    MOST_DESCRIPTORS,
    Connection,
    Hello,
    Malformed,
    Side,
    Tunnel,
    Waiting,
    decode,
    descriptors_of,
    packets,
    unpack,
)

SIDES = st.builds(Side, st.binary(max_size=99), st.booleans(), st.integers(0, 2**62))
CONNECTIONS: st.SearchStrategy[Connection] = st.one_of(
    st.builds(Hello),
    st.builds(Waiting, seconds=st.floats(0)),
    st.builds(
        Tunnel,
        endpoint=st.tuples(st.text(), st.integers(0, 65_535)),
        idle=st.floats(0),
        seconds=st.floats(0),
        client=SIDES,
        server=SIDES,
    ),
)


@given(st.lists(CONNECTIONS, max_size=9))
def test_what_is_packed_is_unpacked(connections: list[Connection]) -> None:
    """In order, each with its own descriptors."""
    numbers = iter(range(100))
    given_ = [
        (each, tuple(next(numbers) for _ in range(descriptors_of(each)))) for each in connections
    ]
    found = [pair for packet, attached in packets(given_) for pair in unpack(packet, attached)]
    assert found == given_


def test_a_packet_fits_into_a_message() -> None:
    """In descriptors and in bytes, however many there are."""
    many = [(Waiting("", b"x" * 1000, b"", 1.0), (number,)) for number in range(2000)]
    made = list(packets(many))
    assert all(len(attached) <= MOST_DESCRIPTORS for _packet, attached in made)
    assert all(len(packet) <= FULL for packet, _attached in made)
    assert sum(len(attached) for _packet, attached in made) == 2000


@given(st.binary(max_size=200))
def test_anything_else_is_refused(packet: bytes) -> None:
    """Whatever comes is a list of connections, or Malformed."""
    with suppress(Malformed):
        assert isinstance(decode(packet), list)


def test_a_missing_descriptor_is_noticed() -> None:
    ((packet, _attached),) = packets([(Hello("a"), (1,))])
    with pytest.raises(Malformed):
        unpack(packet, [])
