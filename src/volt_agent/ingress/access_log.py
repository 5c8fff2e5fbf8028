"""The access log: one JSON line for each request, without ever making a request wait.

Lines are made on the loop (2 us each) and written by a thread, which alone waits for the file. Up
to LINES_MAX lines wait for it; beyond that they are lost and counted.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import re
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from .targets import Endpoint, Target
from .usual import Recurring

if TYPE_CHECKING:
    from .client import Client

log = logging.getLogger(__name__)

# A third of a second of the most requests that one core serves; 30 MB if all of them are as long as
# can be.
LINES_MAX = 10_000
# Seconds in which lines gather before they are written together.
GATHER = 0.1
FLUSH_SECONDS = 1.0

_PATH_MAX, _FIELD_MAX = 2048, 512  # bytes; what is cut off ends in "..."
_CACHED_MAX = 1024

# What stands for itself in a JSON string.
_is_plain = re.compile(rb"[ !#-\[\]-~]*+").fullmatch
# A search for what can only begin in one way is twice as fast.
_user_agent = re.compile(rb"\n[Uu](?i:ser-agent:)[ \t]*+([^\r\n]*)").search
_referer = re.compile(rb"\n[Rr](?i:eferer:)[ \t]*+([^\r\n]*)").search

_LINE = (
    b'{"time":"%b.%bZ","client":"%b",%b,"method":"%b","path":"%b","status":%b,"received":%d,'
    b'"bytes":%d,"seconds":%b,%b,"upstream_seconds":%b}\n'
)
# Numbers of three digits: a formatted one costs four times as much as one that is looked up.
_NUMBERS = tuple(b"%03d" % each for each in range(1000))
_NOWHERE = b'"route":null,"backend":null'


class AccessLog:
    """Writes to `place`: "stderr" or the path of a file, which is made where it does not exist.

    `problem` says why nothing can be written, `lost` how many lines were not.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.lost = 0
        self.problem: str | None = None
        self._lines: deque[bytes] = deque()
        # Parts of lines: by the header fields of a request, by where it went.
        self._askers = Recurring[bytes](_CACHED_MAX)
        self._ways: dict[tuple[Target, Endpoint | None], bytes] = {}
        self._second, self._stamp = 0.0, b""  # the last full second: monotonic, and as text
        self._fd = -1
        self._reopens = False
        self._has_lines, self._is_closed = threading.Event(), threading.Event()
        # A daemon: a file that takes nothing must not keep the process from ending.
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<AccessLog {self.place} [{len(self._lines)} lines waiting, {self.lost} lost]>"

    def write(self, client: Client, target: Target | None, now: float) -> None:
        """Log a finished request; `now` is monotonic."""
        lines = self._lines
        if len(lines) >= LINES_MAX:
            self.lost += 1
            return
        if not 0.0 <= now - self._second < 1.0:
            self._next_second(now)
        path, endpoint = client.path, client.endpoint
        if not _is_plain(path) or len(path) > _PATH_MAX:
            path = _quoted(path, _PATH_MAX)
        seconds = b"%.6f" % (now - client.started)
        where, upstream = _NOWHERE, b"null"
        if target is not None:
            where = self._ways.get((target, endpoint)) or self._way(target, endpoint)
        if endpoint is not None:
            began = client.answered_at
            upstream = b"%.6f" % (began - client.started) if began else seconds
        lines.append(
            _LINE
            % (
                self._stamp,
                _NUMBERS[int((now - self._second) * 1000.0)],
                client.address.encode(),
                self._askers.get(client.fields) or self._asker(client),
                client.method,
                path,
                _NUMBERS[client.status],
                client.received,
                client.sent,
                seconds,
                where,
                upstream,
            )
        )
        if len(lines) == 1:
            self._has_lines.set()

    def reopen(self) -> None:
        """Begin a new file under the same path if the old one was moved away."""
        self._reopens = True
        self._has_lines.set()

    def close(self) -> None:
        """Log nothing more. What waits is still written."""
        self._is_closed.set()
        self._has_lines.set()

    def wait(self) -> None:
        """Wait until everything is written after `close`, FLUSH_SECONDS at most. In a thread."""
        self._thread.join(FLUSH_SECONDS)

    # ---- on the loop ----------------------------------------------------------------------------

    def _next_second(self, now: float) -> None:
        wall = time.time()
        self._second = now - wall % 1.0
        self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall)).encode()

    def _asker(self, client: Client) -> bytes:
        """The part of a line that follows from the header fields. Clients repeat theirs."""
        fields = b"\n" + client.fields
        agent, referer = _user_agent(fields), _referer(fields)
        made = _asker_of(
            client.host,
            None if agent is None else _longest(agent),
            None if referer is None else _longest(referer),
        )
        if client.fields:
            self._askers.note(client.fields, made)
        return made

    def _way(self, target: Target, endpoint: Endpoint | None) -> bytes:
        """The part of a line that says where a request went."""
        backend = b"null" if endpoint is None else b'"%b"' % endpoint.backend.encode()
        made = b'"route":"%b","backend":%b' % (target.name.encode(), backend)
        if len(self._ways) >= _CACHED_MAX:
            self._ways.clear()
        self._ways[target, endpoint] = made
        return made

    # ---- in the thread --------------------------------------------------------------------------

    def _write_all(self) -> None:
        while not self._is_closed.is_set():
            self._has_lines.wait()
            self._is_closed.wait(GATHER)
            self._has_lines.clear()
            self._write_waiting()
        self._write_waiting()  # what came between the last look and the end
        if self._fd > 2:
            os.close(self._fd)

    def _write_waiting(self) -> None:
        lines = []
        with contextlib.suppress(IndexError):
            for _ in range(LINES_MAX):
                lines.append(self._lines.popleft())
        try:
            if self._fd < 0 or self._reopens:
                self._open()
            if lines:
                _write_whole(self._fd, b"".join(lines))
        except OSError as error:
            self.lost += len(lines)
            self._complain(os.strerror(error.errno or errno.EIO).lower())
        else:
            self.problem = None

    def _open(self) -> None:
        self._reopens = False
        if self.place == "stderr":
            self._fd = 2
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        fresh = os.open(self.place, flags, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fresh

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.error("the access log cannot be written to %s: %s", self.place, problem)


def _longest(found: re.Match[bytes]) -> bytes:
    """As much of a field's value as is looked at."""
    return found[1].rstrip()[: _FIELD_MAX + 1]


@functools.lru_cache(_CACHED_MAX)
def _asker_of(host: bytes, agent: bytes | None, referer: bytes | None) -> bytes:
    return b'"host":"%b","user_agent":%b,"referer":%b' % (
        _quoted(host, _FIELD_MAX),
        _field(agent),
        _field(referer),
    )


def _field(value: bytes | None) -> bytes:
    return b"null" if value is None else b'"%b"' % _quoted(value, _FIELD_MAX)


def _quoted(text: bytes, most: int) -> bytes:
    """`text` as it stands between the quotation marks of a JSON string."""
    if len(text) > most:
        text = text[: most - 3] + b"..."
    if _is_plain(text):
        return text
    # What is no ASCII is taken for Latin-1 (RFC 9110, section 5.5: opaque).
    return msgspec.json.encode(text.decode("latin-1"))[1:-1]


def _write_whole(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever started us shares a non-blocking stderr with us
            select.select([], [descriptor], [])
