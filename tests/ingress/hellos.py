"""ClientHellos for tests: real ones from OpenSSL, and what can be made of them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress


def openssl_hello(server_name: str | None, protocols: Sequence[str] = ()) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(came, goes, server_hostname=server_name).do_handshake()
    return goes.read()


def in_records(message: bytes, size: int) -> bytes:
    """A handshake message in records of `size` bytes at most."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(each).to_bytes(2, "big") + each for each in pieces)


def hello_with(extensions: Sequence[tuple[int, bytes]]) -> bytes:
    """A small ClientHello in one record."""
    coded = b"".join(
        kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in extensions
    )
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0"
    body += len(coded).to_bytes(2, "big") + coded
    return in_records(b"\x01" + len(body).to_bytes(3, "big") + body, 16_384)


def name_extension(name: bytes) -> tuple[int, bytes]:
    """The server_name extension."""
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    return 0, len(entry).to_bytes(2, "big") + entry
