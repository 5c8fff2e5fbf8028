"""What both ends have in common: output that waits, backpressure, deadlines, closing.

At most one piece of output waits at each end, in memory or in a pipe: while it does, the other end
is not read. So memory per connection is bounded whatever the speeds of the two sides are.

A write that fails closes the connection within the call, and tells its peer. So whoever writes
looks at `is_closed`, or at whose peer it still is, before going on.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from .pipes import PIPE_SIZE, POUR_MIN, Pipe
from .poller import BROKEN, IN, NEVER, OUT, PIECE, Poller

# What a socket raises when it would have to wait.
WOULD_WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
Data = bytes | memoryview


def secured(context: ssl.SSLContext, sock: socket.socket) -> Any:
    """The server's end of TLS over a socket, which has to outlive it: with `do_handshake`, `read`,
    `write` and `shutdown` in C. Raises OSError or ValueError.

    The way through ssl.SSLSocket costs 6 us more for each request, and looks at the socket with
    five system calls when it is made.
    """
    direct: Any = context
    return direct._wrap_socket(sock, True)


class Connection:
    """One socket on the data path. Subclasses say what reading means (`_readable`) and what an end
    means (`_lost`); `peer` is the other end while there is one."""

    __slots__ = (
        "_closes_after_output",
        "_mask",
        "_output",
        "_reads",
        "_recv",
        "_secure",
        "_send",
        "_written",
        "deadline",
        "fd",
        "is_closed",
        "is_tls",
        "peer",
        "poller",
        "sock",
    )

    def __init__(self, poller: Poller, sock: socket.socket, secure: Any = None) -> None:
        """`secure` is what `secured` made of it, if anything."""
        self.poller = poller
        self.sock = sock
        self.fd = sock.fileno()
        self.deadline = NEVER
        self.is_closed = False
        self.is_tls = secure is not None
        self.peer: Any = None  # typed by the subclasses; a union here would cost casts on each use
        self._secure = secure
        self._recv: Callable[..., Any] = sock.recv if secure is None else secure.read
        self._send: Callable[[Data], int] = sock.send if secure is None else secure.write
        self._output: bytes | Pipe = b""
        self._written = 0  # bytes of output taken by the other side since the last look
        self._reads = True
        self._mask = IN
        self._closes_after_output = False

    # ---- reading --------------------------------------------------------------------------------

    def event(self, mask: int) -> None:
        """The poller's handler."""
        if mask & OUT and self._output:
            self._flush()
        if self.is_closed:
            return
        if self._reads:
            if mask & ~OUT:
                self._readable()
        elif mask & BROKEN:
            # Told again and again until somebody reads: look away until we do.
            self.poller.remove(self.fd)
            self._mask = -1

    def _readable(self) -> None:
        raise NotImplementedError

    def _receive(self) -> memoryview:
        """What has come, up to PIECE bytes; to be used or copied within this event. Raises OSError
        as recv(2) does."""
        poller = self.poller
        if self.is_tls:
            return poller.view[: self._recv(PIECE, poller.buffer)]
        return poller.view[: self.sock.recv_into(poller.buffer)]

    def _pour(self, sink: Connection, most: int) -> int | None:
        """Let up to `most` bytes flow to `sink` without reading them; how many came, 0 at the end.
        None if they have to be read. Raises OSError as recv(2) does."""
        if most < POUR_MIN or self.is_tls or sink.is_tls or sink._output or sink.is_closed:
            return None
        pipe = self.poller.pipes.obtain()
        if pipe is None:
            return None
        try:
            count = pipe.take(self.fd, min(most, PIPE_SIZE))
        except OSError:
            self.poller.pipes.release(pipe)
            raise
        sink._pass_on_pipe(pipe)
        return count

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._reads:
            self._reads = False
            self._adjust()

    def resume(self) -> None:
        if not self._reads and not self.is_closed:
            self._reads = True
            self._adjust()

    def _adjust(self) -> None:
        mask = (IN if self._reads else 0) | (OUT if self._output else 0)
        if mask == self._mask or self.is_closed:
            return
        if self._mask < 0:
            self.poller.add(self.fd, mask, self.event)
        else:
            self.poller.change(self.fd, mask)
        self._mask = mask

    # ---- writing --------------------------------------------------------------------------------

    def write(self, data: Data) -> None:
        """Send `data`, now or when it can be; the peer is not read meanwhile."""
        if self.is_closed:
            return
        output = self._output
        if output:
            self._output = self._waiting(output) + data
            return
        try:
            sent = self._send(data)
        except WOULD_WAIT:
            sent = 0
        except OSError:
            self._cannot_write()
            return
        self._written += sent
        if sent < len(data):
            self._output = bytes(data[sent:])
            self._adjust()
            if self.peer is not None:
                self.peer.pause()

    def _pass_on_pipe(self, pipe: Pipe) -> None:
        """As `write`, of what is in `pipe`, which is given back once it is empty."""
        self._output = pipe
        try:
            while pipe:
                self._written += pipe.give(self.fd)
        except WOULD_WAIT:
            self._adjust()
            if self.peer is not None:
                self.peer.pause()
        except OSError:
            self._discard_output()
            self._cannot_write()
        else:
            self._discard_output()

    def _waiting(self, output: bytes | Pipe) -> bytes:
        """`output` in memory."""
        if isinstance(output, bytes):
            return output
        data = output.content()
        self._discard_output()
        return data

    def _discard_output(self) -> None:
        output, self._output = self._output, b""
        if isinstance(output, Pipe):
            self.poller.pipes.release(output)

    def _send_waiting(self) -> int:
        """Send of what waits what can be; how much that was."""
        output = self._output
        if isinstance(output, Pipe):
            sent = output.give(self.fd)
            if not output:
                self._discard_output()
        else:
            sent = self._send(output)
            self._output = output[sent:]
        return sent

    def _flush(self) -> None:
        try:
            self._written += self._send_waiting()
        except WOULD_WAIT:
            return
        except OSError:
            self._cannot_write()
            return
        if not self._output:
            self._adjust()
            if self._closes_after_output:
                self._output_done()
            elif self.peer is not None:
                self.peer.resume()
            else:
                self._drained()

    def _drained(self) -> None:
        """All output is out, and there is no peer."""

    def _cannot_write(self) -> None:
        """The other side takes nothing any more."""
        self.close()

    def _output_done(self) -> None:
        """The last output is out."""
        self.close()

    # ---- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Close once the output is out."""
        if self._output:
            self._closes_after_output = True
        elif not self.is_closed:
            self._output_done()

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._discard_output()
        self.poller.forget(self.fd)
        self.poller.unwatch(self)
        self.sock.close()
        self._lost()

    def _lost(self) -> None:
        """It is closed: tell the peer."""

    # ---- another process ------------------------------------------------------------------------

    def halt(self) -> None:
        """Read, write and expire no more, with what waits in memory: `go_on` or `part` follow."""
        self.is_closed = True  # for everybody who still thinks of it
        self._output = self._waiting(self._output)
        self.poller.remove(self.fd)
        self.poller.unwatch(self)

    def go_on(self) -> None:
        """It stays here after all."""
        self.is_closed = False
        self._mask = -1
        self.poller.watch(self)
        self._adjust()

    def part(self) -> None:
        """Another process has it now: close the descriptor, but not the connection."""
        self.sock.close()
        self._lost()

    def expire(self) -> None:
        """The deadline passed."""
        self.close()
