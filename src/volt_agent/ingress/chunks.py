"""Chunked bodies: the framing is checked before anything is passed on (RFC 9112, section 7.1).

Chunks are passed on as they came, extensions and trailer fields with them. So nothing may be in
them that the receiver could read otherwise.
"""

from __future__ import annotations

import re

from .heads import Refused

# A size of 15 digits is 2^60 bytes; extensions are rarely used and never long.
_size_line = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t -~\x80-\xff]{0,256}+)?)\r\n").match
_size_beginning = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;[\t -~\x80-\xff]{0,256}+)?\r?)?").fullmatch
# A run of whole chunks of one digit: 64 KiB of them would take 10 ms one by one.
_tiny_chunks = re.compile(
    rb"(?:"
    + rb"|".join(rb"[%X%x]\r\n.{%d}\r\n" % (size, size, size) for size in range(1, 16))
    + rb")*+",
    re.DOTALL,
).match
_trailer_line = re.compile(rb"(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[\t -~\x80-\xff]*+)?\r\n").match
_trailer_beginning = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++(?::[\t -~\x80-\xff]*+)?)?\r?"
).fullmatch
TRAILER_MAX = 8192  # bytes, all trailer fields together
# Fields that would change the message after the fact (RFC 9110, section 6.5.1), or that heads are
# cleaned of: some backends take trailer fields for others.
_never_trailing = re.compile(
    rb"(?i:host|content[-_](?:length|type|encoding|range)|transfer[-_]encoding|connection|upgrade|"
    rb"expect|te|trailer|authorization|cookie|proxy[-_].*|forwarded|x[-_]forwarded[-_].*|"
    rb"x[-_]real[-_]ip|via)"
).fullmatch
_BEFORE, _OVER = -1, -2  # the last chunk; the end of the body


class Chunks:
    """The state of one chunked body, fed piece by piece.

    With `collect`, `payload` has what the last `feed` contained without its framing.
    """

    __slots__ = ("_collect", "_held", "_left", "_trailer", "payload")

    def __init__(self, *, collect: bool = False) -> None:
        self._collect = collect
        self._left = 0  # bytes of the chunk's data and its CRLF still to come
        self._held = b""  # a line of which the end is still to come: it was passed on already
        self._trailer = _BEFORE  # or _OVER, or the bytes of trailer fields so far
        self.payload: list[bytes] = []

    def feed(self, data: bytes | memoryview) -> int:
        """How many bytes of `data` belong to the body if it ends there; -1 if it goes on.

        Raises Refused (400).
        """
        if self._collect:
            self.payload = []
        if self._left - 2 >= len(data) and not self._collect:  # the middle of a large chunk
            self._left -= len(data)
            return -1
        before = len(self._held)
        data, self._held, position = self._held + data, b"", 0
        while position < len(data):
            if self._left:
                position = self._in_chunk(data, position)
                continue
            if self._trailer == _BEFORE:
                position = self._whole_chunks(data, position)
            after = self._line(data, position)
            if after < 0:
                self._held = data[position:]
                return -1
            position = after
            if self._trailer == _OVER:
                return position - before
        return -1

    def _whole_chunks(self, data: bytes, position: int) -> int:
        """The position after all chunks but the last that are complete."""
        if not self._collect:
            tiny = _tiny_chunks(data, position)
            assert tiny is not None, "none at all fits, too"
            position = tiny.end()
        while (match := _size_line(data, position)) is not None:
            start, end = match.end(), match.end() + int(match[1], 16)
            if end == start or end + 2 > len(data):
                break
            if data[end : end + 2] != b"\r\n":
                raise Refused(400, "a chunk is longer than it says")
            if self._collect:
                self.payload.append(data[start:end])
            position = end + 2
        return position

    def _in_chunk(self, data: bytes, position: int) -> int:
        end = min(position + self._left - 2, len(data))
        if end > position:
            if self._collect:
                self.payload.append(data[position:end])
            self._left -= end - position
            return end
        wanted = b"\r\n"[2 - self._left :]
        got = data[position : position + self._left]
        if not wanted.startswith(got):
            raise Refused(400, "a chunk is longer than it says")
        self._left -= len(got)
        return position + len(got)

    def _line(self, data: bytes, position: int) -> int:
        """The position after the line of a size or trailer field; -1 while it is incomplete."""
        if self._trailer >= 0:
            return self._trailer_field(data, position)
        match = _size_line(data, position)
        if match is None:
            if _size_beginning(data, position) is None:
                raise Refused(400, "the size of a chunk is not a number")
            return -1
        size = int(match[1], 16)
        if size:
            self._left = size + 2
        else:
            self._trailer = 0
        return match.end()

    def _trailer_field(self, data: bytes, position: int) -> int:
        match = _trailer_line(data, position)
        if match is None:
            long = self._trailer + len(data) - position > TRAILER_MAX
            if long or _trailer_beginning(data, position) is None:
                raise Refused(400, "what follows the last chunk are no trailer fields")
            return -1
        if match[1] is None:
            self._trailer = _OVER
            return match.end()
        self._trailer += match.end() - position
        if self._trailer > TRAILER_MAX or _never_trailing(match[1]):
            raise Refused(400, "a trailer field that may not be one")
        return match.end()
