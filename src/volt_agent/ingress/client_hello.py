"""What a TLS client asks for before anything is encrypted: the name of the server, and protocols.

A ClientHello (RFC 8446, section 4.1.2) comes in handshake records of any size, which come in TCP
segments of any size. It is read here only as far as a name is needed for; whether the rest of it
makes sense is for who ends the connection.
"""

from __future__ import annotations

import re
import struct

from msgspec import Struct

# nginx and HAProxy take 16 KB. With keys that withstand quantum computers, 3 KB are usual.
HELLO_MAX = 32_768
_RECORD_MAX = 16_384  # RFC 8446, section 5.1

# Alerts (RFC 8446, section 6.2; RFC 6066, section 3; RFC 7301, section 3.2).
UNEXPECTED_MESSAGE, RECORD_OVERFLOW, ILLEGAL_PARAMETER, DECODE_ERROR = 10, 22, 47, 50
UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 112, 120

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _HOST_NAME, _PROTOCOLS = 0, 0, 16
_extension = struct.Struct(">HH").unpack_from  # kind and size
_host_name = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,252})").fullmatch


class NotHello(Exception):
    """What came is no ClientHello. `alert` is what to answer, `reason` for people."""

    def __init__(self, alert: int, reason: str) -> None:
        super().__init__(reason)
        self.alert, self.reason = alert, reason


class ClientHello(Struct, frozen=True):
    """`server_name` in lower case without a dot at the end, None if the client names none;
    `protocols` as offered by ALPN."""

    server_name: bytes | None = None
    protocols: tuple[bytes, ...] = ()


class HelloReader:
    """Reads one ClientHello from pieces of any size, each byte once."""

    __slots__ = ("_message", "_record", "_total")

    def __init__(self) -> None:
        self._record = bytearray()  # of what came, what is not taken out of its record yet
        self._message = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> ClientHello | None:
        """Take what came next. None while there has to come more; raises NotHello."""
        self._total += len(data)
        self._record += data
        while self._take_record():
            size = self._size()
            if size > HELLO_MAX:
                raise NotHello(RECORD_OVERFLOW, f"a ClientHello of {size} bytes")
            if len(self._message) >= size:
                return read_hello(bytes(self._message[4:size]))
        if self._total > HELLO_MAX:
            raise NotHello(RECORD_OVERFLOW, f"no end of the ClientHello in {HELLO_MAX} bytes")
        return None

    def _size(self) -> int:
        """How long the message is to be."""
        if self._message[0] != _CLIENT_HELLO:
            raise NotHello(UNEXPECTED_MESSAGE, "the first message is no ClientHello")
        if len(self._message) < 4:
            return 4
        return 4 + int.from_bytes(self._message[1:4], "big")

    def _take_record(self) -> bool:
        """Move the content of the next record to the message, if it is complete."""
        data = self._record
        if not data:
            return False
        if data[0] != _HANDSHAKE or (len(data) > 1 and data[1] != 3):
            raise NotHello(UNEXPECTED_MESSAGE, "no TLS handshake")
        if len(data) < 5:
            return False
        size = int.from_bytes(data[3:5], "big")
        if not 0 < size <= _RECORD_MAX:
            raise NotHello(RECORD_OVERFLOW, f"a handshake record of {size} bytes")
        if len(data) < 5 + size:
            return False
        self._message += data[5 : 5 + size]
        del data[: 5 + size]  # a bytearray forgets its beginning without moving the rest
        return True


def read_hello(body: bytes) -> ClientHello:
    """A ClientHello without the header of the handshake message. Raises NotHello."""
    at = 2 + 32  # version and random
    at = _skip(body, at, 1)  # session
    at = _skip(body, at, 2)  # cipher suites
    at = _skip(body, at, 1)  # compression methods
    if at == len(body):
        return ClientHello()  # TLS 1.2 may do without extensions
    extensions = _vector(body, at, 2)
    if at + 2 + len(extensions) != len(body):
        raise _malformed("bytes after the extensions")
    found = _read_extensions(extensions)
    name = found.get(_SERVER_NAME)
    protocols = found.get(_PROTOCOLS)
    return ClientHello(
        None if name is None else _read_server_name(name),
        () if protocols is None else _read_protocols(protocols),
    )


def _read_extensions(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at + 4 <= end:
        kind, size = _extension(data, at)
        if kind in found:
            # Two names, and whom we pass it to might read the other one.
            raise NotHello(ILLEGAL_PARAMETER, f"extension {kind} comes twice")
        found[kind] = data[at + 4 : at + 4 + size]
        at += 4 + size
    if at != end:
        raise _malformed("extensions")
    return found


def _read_server_name(data: bytes) -> bytes:
    """RFC 6066, section 3: a list in which a host name may stand once."""
    names = _vector(data, 0, 2)
    if not names or len(data) != 2 + len(names):
        raise _malformed("server name")
    name = _vector(names, 1, 2)
    if names[0] != _HOST_NAME or len(names) != 3 + len(name):
        raise _malformed("server name")
    if not _host_name(name):
        raise NotHello(UNRECOGNIZED_NAME, "the server name is not a host name")
    return name.lower().removesuffix(b".")


def _read_protocols(data: bytes) -> tuple[bytes, ...]:
    """RFC 7301, section 3.1."""
    names = _vector(data, 0, 2)
    if not names or len(data) != 2 + len(names):
        raise _malformed("protocols")
    found, at = [], 0
    while at < len(names):
        found.append(_vector(names, at, 1))
        at += 1 + len(found[-1])
    return tuple(found)


def _vector(data: bytes, at: int, width: int) -> bytes:
    """The bytes behind a length of `width` bytes."""
    start = at + width
    if start > len(data):
        raise _malformed("length")
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data):
        raise _malformed("length")
    return data[start:end]


def _skip(data: bytes, at: int, width: int) -> int:
    return at + width + len(_vector(data, at, width))


def _malformed(what: str) -> NotHello:
    return NotHello(DECODE_ERROR, f"malformed ClientHello: {what}")
