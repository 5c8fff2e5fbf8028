"""What incumbent and successor say to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.handover import message
from volt_agent.handover.message import MAGIC, BadMessageError, Message, decode, encode

text = st.text(max_size=50)
numbers = st.integers(0, 2**31)
times = st.floats(0, 1e9)
messages = st.one_of(
    st.builds(message.Offer, text, numbers, numbers),
    st.builds(message.Ready, text, numbers),
    st.builds(message.Refusal, text),
    st.builds(message.Descriptors, st.lists(text, max_size=5).map(tuple)),
    st.builds(message.Take, times),
    st.just(message.Serving()),
    st.builds(message.Connections, times),
    st.just(message.Done()),
)


@given(messages)
def test_what_is_said_is_understood(said: Message) -> None:
    """Octets and back."""
    assert decode(encode(said)) == said


@given(st.binary(max_size=100))
def test_anything_else_is_refused(octets: bytes) -> None:
    """Never anything but BadMessageError."""
    for each in (octets, MAGIC + octets, MAGIC + b"\0\1" + octets):
        try:
            decode(each)
        except BadMessageError:
            continue


def test_another_version_is_named() -> None:
    """Whatever follows the version."""
    with pytest.raises(BadMessageError, match="version 513 of the hand-over") as caught:
        decode(MAGIC + b"\2\1" + b"whatever comes")
    assert caught.value.version == 513


@given(st.lists(st.tuples(text, text, text), max_size=5))
def test_rows_travel(rows: list[tuple[str, str, str]]) -> None:
    """Octets and back; anything else is refused."""
    octets = message.pack_rows(rows)
    assert message.unpack_rows(octets) == rows
    with pytest.raises(BadMessageError):
        message.unpack_rows(octets[:-1])


def test_names_of_many_sockets_fit_into_records() -> None:
    """As many as go with a record, each as long as a name can be."""
    names = [f"dns-udp-{'n' * 55}{number}" for number in range(1000)]
    for batch in message.batches(names):
        assert len(encode(message.Descriptors(tuple(batch)))) < message.RECORD_MAX
