"""How far a TCP connection is, as the kernel counts it, whoever has read and written it.

What was written to a socket is what the other side has acknowledged and what still waits to be.
What was read from it is what has come but for what lies there unread (tcp(7): TCP_INFO, SIOCOUTQ,
SIOCINQ). An end (FIN) counts as one byte. Where a count begins does not matter here: only
differences are used.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios

# Of struct tcp_info (linux/tcp.h): the state comes first, here are bytes acknowledged and received.
_COUNTS, _COUNTS_AT = struct.Struct("@QQ"), 120
_SIZE = _COUNTS_AT + _COUNTS.size
_INT = struct.Struct("@i")
_NOTHING = bytes(4)

# States of a connection (net/tcp_states.h).
_FIN_WAIT1, _FIN_WAIT2, _TIME_WAIT, _CLOSE, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 4, 5, 6, 7, 8, 9, 11
_WE_ENDED = frozenset((_FIN_WAIT1, _FIN_WAIT2, _TIME_WAIT, _CLOSE, _LAST_ACK, _CLOSING))
_THEY_ENDED = frozenset((_TIME_WAIT, _CLOSE, _CLOSE_WAIT, _LAST_ACK, _CLOSING))


class Broken(OSError):
    """The connection was reset: nothing certain is known of it any more."""


def written(sock: socket.socket) -> int:
    """Bytes written to it so far, give or take a constant. Raises Broken, OSError."""
    while True:
        state, acked, _ = _info(sock)
        waiting = _count(sock, termios.TIOCOUTQ)
        if (state, acked) == _info(sock)[:2]:
            return acked + waiting - (state in _WE_ENDED)


def consumed(sock: socket.socket) -> int:
    """Bytes read from it so far, give or take a constant. Raises Broken, OSError."""
    while True:
        state, _, received = _info(sock)
        waiting = unread(sock)
        now = _info(sock)
        if (state, received) == (now[0], now[2]):
            return received - waiting - (state in _THEY_ENDED)


def unread(sock: socket.socket) -> int:
    """Bytes that have come and were not read."""
    return _count(sock, termios.FIONREAD)


def advance(source: socket.socket, sink: socket.socket) -> int:
    """How far writing to `sink` is ahead of reading from `source`, give or take a constant. Raises
    Broken, OSError."""
    return written(sink) - consumed(source)


def half_done(source: socket.socket, sink: socket.socket, baseline: int) -> int:
    """Bytes that were passed on to `sink` but not taken from `source`; `baseline` is what `advance`
    said when there were none. Raises Broken where the counts contradict each other."""
    ahead, waiting = advance(source, sink) - baseline, unread(source)
    if not 0 <= ahead <= waiting:
        raise Broken(f"{ahead} of {waiting} bytes cannot have been passed on")
    if waiting and _info(sink)[0] == _CLOSE:
        # It was not us who ended it: that would have been after the last byte.
        raise Broken("the connection was reset")
    return ahead


def discard(sock: socket.socket, count: int, scratch: bytearray) -> None:
    """Take so many bytes, which lie there, without looking at them (MSG_TRUNC): nothing is written
    to `scratch`, which says how many at once. Raises OSError."""
    while count > 0:
        taken = sock.recv_into(scratch, min(count, len(scratch)), socket.MSG_TRUNC)
        if not taken:
            raise Broken("fewer bytes lie there than were passed on")
        count -= taken


def recover(near: socket.socket, far: socket.socket, forth: int, back: int) -> int:
    """Finish what was half done between two sockets when their process died; how many bytes that
    were. `forth` is the baseline from `near` to `far`, `back` the other. Raises Broken, OSError."""
    ahead = half_done(near, far, forth), half_done(far, near, back)
    for source, count in zip((near, far), ahead, strict=True):
        if count:
            discard(source, count, bytearray(min(count, 65_536)))
    return sum(ahead)


def _info(sock: socket.socket) -> tuple[int, int, int]:
    """State, bytes acknowledged, bytes received."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    state = info[0]
    if state == _CLOSE and _has_error(sock):
        raise Broken("the connection was reset")
    return (state, *_COUNTS.unpack_from(info, _COUNTS_AT))


def _has_error(sock: socket.socket) -> bool:
    """Asked of poll(2), which leaves the error where it is for the next one who asks."""
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _count(sock: socket.socket, request: int) -> int:
    answer: int = _INT.unpack(fcntl.ioctl(sock.fileno(), request, _NOTHING))[0]
    return answer
