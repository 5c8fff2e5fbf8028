"""The framing of chunked bodies: found exactly, in any pieces; h11 agrees."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volt_agent.ingress.chunks import TRAILER_MAX, Chunks
from volt_agent.ingress.heads import Refused

BODY = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"


def end_of(data: bytes, *cuts: int) -> int:
    """Where the body at the beginning of `data` ends, fed in pieces; -1 if it does not."""
    chunks, position = Chunks(), 0
    for cut in (*sorted(cut for cut in cuts if cut <= len(data)), len(data)):
        found = chunks.feed(data[position:cut])
        if found >= 0:
            return position + found
        position = cut
    return -1


def by_h11(data: bytes) -> bytes | None:
    """The payload that h11 reads; None for a refusal or an unfinished body."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    connection.receive_data(data)
    payload = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            payload += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    return payload if isinstance(event, h11.EndOfMessage) else None


@given(st.lists(st.integers(0, len(BODY)), max_size=6))
def test_the_end_is_found_whatever_the_pieces(cuts: list[int]) -> None:
    """What follows it belongs to the next request."""
    assert end_of(BODY + b"GET / HTTP/1.1", *cuts) == len(BODY)
    assert end_of(BODY[:-1], *cuts) == -1


@given(st.lists(st.integers(0, len(BODY)), max_size=6))
def test_the_payload_can_be_collected(cuts: list[int]) -> None:
    """For those who do not speak chunks."""
    chunks, payload, position = Chunks(collect=True), b"", 0
    for cut in (*sorted(cuts), len(BODY)):
        chunks.feed(BODY[position:cut])
        payload += b"".join(chunks.payload)
        position = cut
    assert payload == b"hello world"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"1000000000000000\r\n",
        b"5;" + b"x" * 300 + b"\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nHost: b\r\n\r\n",
        b"0\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n",
        b"0\r\nx_forwarded_proto: https\r\n\r\n",
        b"0\r\nAuthorization: Basic YTpi\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n" + b"X: y\r\n" * (TRAILER_MAX // 6 + 1) + b"\r\n",
        b"0\r\nX: " + b"y" * (TRAILER_MAX + 10),
    ],
)
def test_framing_with_two_readings_is_refused(data: bytes) -> None:
    """In one piece and byte by byte."""
    for cuts in ((), range(min(len(data), 600))):
        with pytest.raises(Refused):
            end_of(data, *cuts)


@given(
    st.binary(max_size=3) | st.sampled_from([b"\r\n", b"0\r\n", b"A", b";x", b"X: y\r\n"]),
    st.integers(0, len(BODY)),
    st.booleans(),
)
@settings(max_examples=1500, deadline=None)
def test_what_is_accepted_is_read_alike_by_h11(edit: bytes, position: int, over: bool) -> None:
    """Any edit of a body is refused, unfinished, or has the same payload and end for both."""
    data = BODY[:position] + edit + BODY[position + (len(edit) if over else 0) :]
    try:
        end = end_of(data)
    except Refused:
        return
    if end >= 0:
        chunks = Chunks(collect=True)
        chunks.feed(data[:end])
        assert by_h11(data[:end]) == b"".join(chunks.payload)
        assert by_h11(data[: end - 1]) is None
