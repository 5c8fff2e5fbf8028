"""Request heads as nearly everybody sends them, read in one step.

`heads` reads every legal head and says what is wrong with the others. Here two regular expressions
recognise the usual ones: a path, HTTP/1.1, no body, one Host, at most one `Connection: keep-alive`
or `close` after it, and nothing else that matters to a proxy. What they do not know is left to
`heads`; what they take is a part of what `heads` takes, with the same meaning (the tests compare).
"""

from __future__ import annotations

import functools
import re
from typing import Generic, TypeVar

from .forwarded import fields_for
from .heads import HOST, TOKEN, VALUE, ResponseHead

T = TypeVar("T")

# Host in lower case, authority as written, fields for the backend (without those of the
# connection), and whether to keep the connection.
Fields = tuple[bytes, bytes, bytes, bool]

# Method and path. A longer path is nothing usual; what follows a CONNECT may be a tunnel.
usual_line = re.compile(rb"(?!CONNECT )(" + TOKEN + rb") (/[!\"$-~]{0,8000}+) HTTP/1\.1\r\n").match

# Beginnings of the names that `heads` looks at. By their first character, which is all that is
# compared for most fields; a name too many here costs time, one too few would be a mistake.
_NOTABLE = (
    rb"[Cc](?i:onnection:|ontent[-_]length:)|[Ee](?i:xpect:)|[Ff](?i:orwarded:)|[Hh](?i:ost:)|"
    rb"[Kk](?i:eep-alive:)|[Pp](?i:roxy[-_])|[Tt](?i:e:|ransfer[-_]encoding:)|[Uu](?i:pgrade:)|"
    rb"[Xx](?i:[-_]forwarded[-_]|[-_]real[-_]ip:)"
)
_OTHERS = rb"(?:(?!" + _NOTABLE + rb")" + TOKEN + rb":" + VALUE + rb"\r\n)*+"
_HOST_LINE = rb"[Hh](?i:ost):[\t ]*+(" + HOST + rb")[\t ]*+\r\n"
_CONNECTION_LINE = rb"(|[Cc](?i:onnection):[\t ]*+(?i:keep-alive|(close))[\t ]*+\r\n)"
_usual_fields = re.compile(
    _OTHERS
    + _CONNECTION_LINE
    + _OTHERS
    + _HOST_LINE
    + _OTHERS
    + _CONNECTION_LINE
    + _OTHERS
    + rb"\r\n\Z"
).match

# An answer with a body of known length on a connection that stays.
_ANSWER_NOTABLE = (
    rb"[Cc](?i:onnection:|ontent-length:)|[Kk](?i:eep-alive:)|[Pp](?i:roxy-connection:)|"
    rb"[Tt](?i:ransfer-encoding:)|[Uu](?i:pgrade:)"
)
_ANSWER_OTHERS = rb"(?:(?!" + _ANSWER_NOTABLE + rb")" + TOKEN + rb":" + VALUE + rb"\r\n)*+"
_KEEP_ALIVE_LINE = rb"(|[Cc](?i:onnection):[\t ]*+(?i:keep-alive)[\t ]*+\r\n)"
_usual_answer = re.compile(
    rb"HTTP/1\.1 (?!204|304)([2-5][0-9][0-9]) "
    + VALUE
    + rb"\r\n"
    + _ANSWER_OTHERS
    + _KEEP_ALIVE_LINE
    + _ANSWER_OTHERS
    + rb"[Cc](?i:ontent-length):[\t ]*+([0-9]{1,18})[\t ]*+\r\n"
    + _ANSWER_OTHERS
    + _KEEP_ALIVE_LINE
    + _ANSWER_OTHERS
    + rb"\r\n\Z"
).match


class Recurring(Generic[T]):
    """What was read of input that came at least twice: nobody flushes the others' out with ever new
    ones. Nothing secret and nothing long is kept, and no route, so no change makes it wrong."""

    __slots__ = ("_known", "_most", "_once", "get")

    def __init__(self, most: int) -> None:
        self._known: dict[bytes, T] = {}
        self._once: set[int] = set()  # hashes
        self._most = most
        self.get = self._known.get

    def note(self, key: bytes, value: T) -> None:
        mark = hash(key)
        if mark not in self._once:
            if len(self._once) >= self._most:
                self._once.clear()
            self._once.add(mark)
        elif len(key) <= _KNOWN_SIZE and _is_secret(key) is None:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[key] = value


_KNOWN_SIZE = 2048
_is_secret = re.compile(rb"(?i:(?:^|\n)authorization:)").search
# Clients repeat their fields from one request to the next, and most servers theirs for a second.
_requests = Recurring[Fields](2048)
_answers = Recurring[ResponseHead](512)


@functools.lru_cache(1024)
def _named(host: bytes, authority: bytes) -> tuple[bytes, bytes]:
    """The host as it is looked up, and the fields that follow from the authority."""
    return host.lower().rstrip(b"."), fields_for(authority)


def read_fields(block: bytes) -> Fields | None:
    """What the fields say; `block` is all after the request line. None if it is not the usual."""
    known = _requests.get(block)
    if known is not None:
        return known
    match = _usual_fields(block)
    if match is None:
        return None
    before, close, authority, host, after, close_after = match.groups()
    if before and after:
        return None
    passed = block[:-2]
    if before or after:
        start, end = match.span(1 if before else 5)
        passed = passed[:start] + passed[end:]
    host, added = _named(host, authority)
    read = host, authority, passed + added, close is None and close_after is None
    _requests.note(block, read)
    return read


def read_answer(data: bytes) -> ResponseHead | None:
    """The head at the beginning of `data`; None if it is not the usual, or not complete. Not for
    answers to HEAD."""
    start = data[: data.find(b"\r\n\r\n") + 4]
    known = _answers.get(start)
    if known is not None:
        return known
    match = _usual_answer(start)
    if match is None:
        return None
    status, before, length, after = match.groups()
    if before and after:
        return None
    cut, end = match.span(2) if before else match.span(4)
    passed = start[:cut] + start[end:-2]
    read = ResponseHead(len(start), int(status), int(length), True, None, passed)
    _answers.note(start, read)
    return read
