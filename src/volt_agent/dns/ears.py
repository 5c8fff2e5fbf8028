"""The sockets from which questions go upstream, each used for one question at a time.

Two things are done for speed, and neither costs a spoofer less:

A socket whose question was answered is kept for another one, but not its port: dissolving the
connection gives the port back to the kernel, which draws a new one at random with the next
connection (udp_disconnect and inet_autobind in net/ipv4). While it rests, it has no port, so
nothing can come in. This costs a third of a new socket (5 us instead of 16), and each question
still has a port of its own: 14.8 bits for a spoofer to guess with the kernel's default range of
28,232, beside the id (16) and the case of each letter.

What is asked in one turn of the loop goes out together at its end. The first packet wakes the
server up, and a server that is awake already is cheaper to send to (6 us instead of 25).
"""

from __future__ import annotations

import asyncio
import ctypes
import select
import socket
import time
from collections.abc import Callable

from .health import Upstream

# Sockets that are served for one wake-up of the loop, and for how long (seconds).
_EVENTS = 32
TURN = 0.002
# Sockets that rest; as many as are in use at a time under load.
_IDLE_MAX = 256
_DATAGRAMS = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK

# connect(2) with AF_UNSPEC, which Python's cannot say. PyDLL: without releasing the lock.
_connect = ctypes.PyDLL(None).connect
_connect.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_NOBODY = bytes(16)  # struct sockaddr, of family AF_UNSPEC


class Ears:
    """The sockets of all exchanges under way, in one epoll set, which is all that the loop watches.

    Telling the loop itself about each of them, and that it is gone again, costs six times as much
    (20 us instead of 3).
    """

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._listening: dict[int, Callable[[], None]] = {}
        self._idle: dict[bool, list[socket.SocketType]] = {False: [], True: []}  # by "is IPv6"
        self._unsent: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"<Ears [{len(self._listening)} sockets in use, {idle} idle]>"

    def open(self, upstream: Upstream, on_readable: Callable[[], None]) -> socket.SocketType:
        """A UDP socket that hears `upstream` only, on a port that the kernel draws at random.

        `on_readable` is called while there is something to read, or an error to be told. Raises
        OSError.
        """
        is_ipv6 = ":" in upstream[0]
        idle = self._idle[is_ipv6]
        sock = idle.pop() if idle else self._made(is_ipv6)
        try:
            sock.connect(upstream)
        except OSError:
            sock.close()
            raise
        self._listening[sock.fileno()] = on_readable
        return sock

    def send_soon(self, send: Callable[[], None]) -> None:
        """Call `send` at the end of this turn of the loop, together with the others."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send_all)
        self._unsent.append(send)

    def rest(self, sock: socket.SocketType) -> None:
        """Done with `sock`, whose question was answered: keep it, without its port."""
        idle, descriptor = self._idle[sock.family == socket.AF_INET6], sock.fileno()
        if len(idle) < _IDLE_MAX and _connect(descriptor, _NOBODY, len(_NOBODY)) == 0:
            del self._listening[descriptor]
            idle.append(sock)
        else:
            self.close(sock)

    def close(self, sock: socket.SocketType) -> None:
        """Close `sock`, which takes it out of the set as well (epoll(7))."""
        self._listening.pop(sock.fileno(), None)
        sock.close()

    def shut(self) -> None:
        """Hear nothing any more; listening again starts afresh."""
        self._unsent.clear()
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
            self._listening.clear()

    def _made(self, is_ipv6: bool) -> socket.SocketType:
        """A socket in the epoll set.

        It is of the type below socket.socket, which does the same for less.
        """
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._on_ready)
        made = socket.SocketType(socket.AF_INET6 if is_ipv6 else socket.AF_INET, _DATAGRAMS)
        try:
            self._epoll.register(made.fileno(), select.EPOLLIN)
        except OSError:
            made.close()
            raise
        return made

    def _send_all(self) -> None:
        unsent, self._unsent = self._unsent, []
        for send in unsent:
            send()

    def _on_ready(self) -> None:
        """Serve those that have something, as many as fit into a turn; the others have the next."""
        if self._epoll is None:
            return
        until = time.monotonic() + TURN
        for descriptor, _ in self._epoll.poll(0, _EVENTS):
            on_readable = self._listening.get(descriptor)
            if on_readable is not None:
                on_readable()
            if time.monotonic() > until:
                return
