"""Paths that can be written in several ways, read as a backend might read them.

A route for `/public` must not be a way to `/admin`: whoever writes `/public/../admin` gets what
`/admin` leads to, as RFC 3986 has it (sections 5.2.4 and 6.2.2). Where backends disagree, about an
encoded slash, a backslash or what follows a semicolon, both readings count.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

# What makes a path worth a second look; nearly none has any of it.
is_unusual = re.compile(rb"[%;\\]|//|/\.").search
_unreserved = re.compile(rb"%(?:2[dDeE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])")
_parameters = re.compile(rb";[^/]*")


def normal(path: bytes) -> bytes:
    """`path` as every reader has to understand it; slashes in a row count as one, as for nginx."""
    return _walked(_unreserved.sub(lambda match: unquote_to_bytes(match[0]), path))


def lenient(path: bytes) -> bytes:
    """`path` as the most lenient reader understands it."""
    return _walked(_parameters.sub(b"", unquote_to_bytes(path).replace(b"\\", b"/")))


def _walked(path: bytes) -> bytes:
    """Without empty segments, `.` and `..`."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    return b"/" + b"/".join(kept)
