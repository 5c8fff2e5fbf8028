"""What a backend is told of the client: Host, Via, X-Forwarded-*, and what it wants to go over to.

Only what a trusted proxy said of its own client is passed on; the fields of everybody else have
been cut out with the head (`heads`).
"""

from __future__ import annotations

import functools

from .heads import RequestHead


@functools.lru_cache(1024)
def tail_for(address: str, *, is_tls: bool) -> bytes:
    """The last fields and the end of each head: the same for all requests of a connection."""
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n\r\n" % (
        address.encode(),
        _proto(is_tls),
    )


def fields_for(authority: bytes, *, is_http10: bool = False) -> bytes:
    """The fields that depend on nothing but the head."""
    version = b"0" if is_http10 else b"1"
    return b"X-Forwarded-Host: %b\r\nVia: 1.%b volt\r\n" % (authority, version)


def request_for(head: RequestHead, tail: bytes) -> bytes:
    """The head that the backend gets from a client that is not believed."""
    fields = fields_for(head.authority, is_http10=head.is_http10)
    return _passed(head) + fields + _upgrade(head) + tail


def trusted_request_for(head: RequestHead, address: str, *, is_tls: bool) -> bytes:
    """The same from a proxy that is: what it says stays, its own address is added."""
    said = dict(head.forwarded)
    path = [value for name, value in head.forwarded if name == b"x-forwarded-for"]
    lines = [b"%b: %b\r\n" % each for each in head.forwarded if each[0] != b"x-forwarded-for"]
    lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join([*path, address.encode()]))
    if b"x-forwarded-proto" not in said:
        lines.append(b"X-Forwarded-Proto: %b\r\n" % _proto(is_tls))
    fields = fields_for(head.authority, is_http10=head.is_http10)
    if b"x-forwarded-host" in said:
        fields = fields[fields.index(b"\r\n") + 2 :]
    return _passed(head) + fields + _upgrade(head) + b"".join(lines) + b"\r\n"


def _proto(is_tls: bool) -> bytes:
    return b"https" if is_tls else b"http"


def _passed(head: RequestHead) -> bytes:
    if head.authority:
        return head.passed
    # HTTP/1.0 without a host: HTTP/1.1 has to have one, if only an empty one.
    line = head.passed.index(b"\r\n") + 2
    return head.passed[:line] + b"Host: \r\n" + head.passed[line:]


def _upgrade(head: RequestHead) -> bytes:
    return b"" if head.upgrade is None else b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade
