"""The first bytes of a TLS connection."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingress.hellos import hello_with, in_records, name_extension, openssl_hello
from volt_agent.ingress.client_hello import (
    DECODE_ERROR,
    HELLO_MAX,
    ILLEGAL_PARAMETER,
    RECORD_OVERFLOW,
    UNEXPECTED_MESSAGE,
    UNRECOGNIZED_NAME,
    ClientHello,
    HelloReader,
    NotHello,
)

REAL = openssl_hello("App.example.com", ["h2", "http/1.1"])
READ = ClientHello(b"app.example.com", (b"h2", b"http/1.1"))


def read(*pieces: bytes) -> ClientHello | None:
    """The hello once it is complete; it must not be so before the last piece."""
    reader = HelloReader()
    for each in pieces[:-1]:
        assert reader.feed(each) is None
    return reader.feed(pieces[-1])


def alert_for(data: bytes) -> int:
    with pytest.raises(NotHello) as caught:
        read(data)
    return caught.value.alert


def test_a_real_hello_is_read() -> None:
    """The name in lower case, the protocols in order; what is not there is not there."""
    assert read(REAL) == READ
    assert read(openssl_hello(None)) == ClientHello(None, ())


@given(st.integers(1, 600), st.integers(1, 600))
def test_records_and_segments_of_any_size(record: int, segment: int) -> None:
    """However it is cut into pieces, it is complete with its last byte."""
    data = in_records(REAL[5:], record)
    pieces = [data[at : at + segment] for at in range(0, len(data), segment)]
    assert read(*pieces) == READ


def test_what_follows_does_not_matter() -> None:
    """Other records behind the hello are for who ends the connection."""
    assert read(REAL + b"\x14\x03\x03\x00\x01\x01") == READ


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_waits(data: bytes) -> None:
    """Never another exception than NotHello."""
    for start in (b"", b"\x16\x03\x01", REAL[:5], REAL[:50]):
        with contextlib.suppress(NotHello):
            HelloReader().feed(start + data)


def test_every_changed_byte_is_read_or_refused() -> None:
    """A real hello with one byte changed: never another exception than NotHello."""
    for at in range(len(REAL)):
        for value in range(0, 256, 5):
            with contextlib.suppress(NotHello):
                HelloReader().feed(REAL[:at] + bytes((value,)) + REAL[at + 1 :])


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", UNEXPECTED_MESSAGE),
        (b"\x80\x2e\x01\x03\x01", UNEXPECTED_MESSAGE),  # as in SSL 2
        (b"\x16\x02", UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x00\x00", RECORD_OVERFLOW),
        (b"\x16\x03\x01\x40\x01", RECORD_OVERFLOW),
        (in_records(b"\x02\0\0\0", 9), UNEXPECTED_MESSAGE),
        (in_records(b"\x01\xff\xff\xff", 9), RECORD_OVERFLOW),
        (in_records(b"\x01\0\0\x02\x03\x03", 9), DECODE_ERROR),
        (hello_with([name_extension(b"a"), name_extension(b"b")]), ILLEGAL_PARAMETER),
        (hello_with([name_extension(b"")]), UNRECOGNIZED_NAME),
        (hello_with([name_extension(b"a\0b")]), UNRECOGNIZED_NAME),
        (hello_with([(0, b"")]), DECODE_ERROR),
        (hello_with([(0, b"\0\4\0\0\2a")]), DECODE_ERROR),
        (hello_with([(0, b"\0\4\1\0\1a")]), DECODE_ERROR),
        (hello_with([(0, b"\0\x08\0\0\1a\0\0\1b")]), DECODE_ERROR),  # two names
        (hello_with([(16, b"\0\2\2h")]), DECODE_ERROR),
    ],
)
def test_refusals_name_their_alert(data: bytes, alert: int) -> None:
    """Which is what the client is told."""
    assert alert_for(data) == alert


def test_a_hello_without_end_is_refused_at_its_limit() -> None:
    """In one-byte records, one byte at a time, at a cost that grows with the bytes only."""
    reader = HelloReader()
    data = in_records(b"\x01\x00\x7f\xf0" + bytes(HELLO_MAX), 1)
    began = time.thread_time()
    for each in data[:HELLO_MAX]:
        assert reader.feed(bytes((each,))) is None
    with pytest.raises(NotHello) as caught:
        reader.feed(data[HELLO_MAX : HELLO_MAX + 1])
    assert caught.value.alert == RECORD_OVERFLOW
    assert time.thread_time() - began < 2
