"""From a line to the stream, without ever making the agent wait.

A log that nobody reads must not stop the agent: finished lines go to a thread, which alone waits
for the stream. Up to BACKLOG_MAX bytes wait for it; beyond that lines are lost and counted, and the
count is logged once there is room. At the end, what waits gets FLUSH_SECONDS to be written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import IO

# Some ten thousand lines: more than the agent writes while a reader is restarted.
BACKLOG_MAX = 4 * 1024 * 1024
FLUSH_SECONDS = 1.0

Sink = Callable[[bytes], None]


class Output(logging.Handler):
    """Hands finished lines to a thread, which writes them. `lost` counts those dropped."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_busy = False
        self._is_stuck = False
        self._is_closed = False
        self._unreported = 0
        self.lost = 0
        # A daemon: a reader that never reads must not keep the process from ending.
        self._thread = threading.Thread(target=self._write_all, name="volt-log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Output [{len(self._waiting)} lines waiting, {self.lost} lost]>"

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode() + b"\n"
        with self._changed:
            if self._is_closed or self._size + len(line) > BACKLOG_MAX:
                self._lose(1)
                return
            self._waiting.append(line)
            self._size += len(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is written, FLUSH_SECONDS at most."""
        with self._changed:
            written = self._changed.wait_for(
                lambda: not (self._waiting or self._is_busy), FLUSH_SECONDS
            )
            self._is_stuck = not written

    def close(self) -> None:
        """Write what waits (as `flush`) and log nothing more. Closing twice is fine."""
        logging.getLogger().removeHandler(self)
        if not self._is_stuck:  # logging.shutdown has flushed: one wait is enough
            self.flush()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        super().close()

    def _write_all(self) -> None:
        while lines := self._next():
            try:
                self._sink(b"".join(lines))
            except OSError:  # nobody is there to read: a closed pipe, a terminal that hung up
                with self._changed:
                    self._lose(len(lines))

    def _next(self) -> list[bytes]:
        """The lines to write now; none when there will be no more."""
        with self._changed:
            self._is_busy = self._is_stuck = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            lines, self._waiting, self._size = self._waiting, [], 0
            if lines and self._unreported:
                lines.append(self._report())
            self._is_busy = bool(lines)
            return lines

    def _lose(self, count: int) -> None:
        self.lost += count
        self._unreported += count

    def _report(self) -> bytes:
        record = logging.makeLogRecord(
            {
                "name": __name__,
                "levelname": "WARNING",
                "msg": "log lines were lost: nobody read them in time",
                "created": time.time(),
                "fields": {"lost": self._unreported},
            }
        )
        self._unreported = 0
        return self.format(record).encode() + b"\n"


def sink(stream: IO[str]) -> Sink:
    """How to write to `stream`: past its buffers where it has a descriptor.

    A thread that waits inside sys.stderr's own buffer would bring the interpreter down at its end
    ("could not acquire lock for BufferedWriter").
    """
    with contextlib.suppress(OSError):
        descriptor = stream.fileno()
        return lambda data: _write_whole(descriptor, data)

    def write(data: bytes) -> None:
        stream.write(data.decode())

    return write


def _write_whole(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever started us shares a non-blocking stderr with us
            select.select([], [descriptor], [])
