"""TCP: the same answers in frames of two octets length (RFC 1035, section 4.2.2; RFC 7766).

Everything a client can use up has an end: connections in all and for each address, questions under
way on one connection, octets that wait for a slow reader, and time. Where a new connection goes
over a limit the longest idle one is closed instead: whoever hoards connections loses his own first.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial

from ..model.network import Network
from .counters import Counters
from .responder import Responder
from .wire import QUERY_MAX

CONNECTIONS_MAX = 256
CONNECTIONS_PER_CLIENT = 32
IDLE_SECONDS = 10.0
# Questions of one connection that may be under way; beyond it nothing more is read for now.
PIPELINE_MAX = 32
# Octets waiting for a slow reader: above, nothing more is read. With PIPELINE_MAX replies of 64 KiB
# still to come it can grow to 2 MiB, for the 10 seconds that a reader has to take something. The
# kernel would take 4 MiB more for each connection if it was let.
UNSENT_MAX = 64 * 1024
_SEND_BUFFER = 128 * 1024
_RECEIVE = 2 * 1024
# Answers of one connection before others get their turn, as for UDP.
ANSWERS_PER_TURN = 16
_ACCEPTS = 16  # for one wake-up of the loop
_RETRY_ACCEPT = 0.1  # seconds, when there are no descriptors left
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TcpClients:
    """All connections, on all networks: counts them, and closes the idle."""

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        # By last progress, the longest idle first.
        self._last_progress: OrderedDict[TcpClient, float] = OrderedDict()
        self._per_host: Counter[str] = Counter()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._last_progress)

    @property
    def connections(self) -> list[TcpClient]:
        """The longest idle first."""
        return list(self._last_progress)

    def admit(self, client: TcpClient) -> None:
        """Take in a new connection; close another one where that is one too many."""
        outgoing = self.one_too_many(client.host)
        if outgoing is not None:
            self._counters.connections_evicted += 1
            outgoing.close()
        self._last_progress[client] = self._clock()
        self._per_host[client.host] += 1
        self._counters.connections = len(self)
        self._schedule_sweep()

    def one_too_many(self, host: str) -> TcpClient | None:
        """Which connection has to go if `host` gets another one: idle ones first, oldest first."""
        candidates = self.connections
        if self._per_host[host] >= CONNECTIONS_PER_CLIENT:
            candidates = [each for each in candidates if each.host == host]
        elif len(candidates) < CONNECTIONS_MAX:
            return None
        return next((each for each in candidates if each.is_idle), candidates[0])

    def progressed(self, client: TcpClient) -> None:
        """A whole query came in, or octets of an answer went out."""
        if client in self._last_progress:
            self._last_progress[client] = self._clock()
            self._last_progress.move_to_end(client)

    def left(self, client: TcpClient) -> None:
        """A connection is closed."""
        if self._last_progress.pop(client, None) is not None:
            self._per_host[client.host] -= 1
            if not self._per_host[client.host]:
                del self._per_host[client.host]
            self._counters.connections = len(self)

    def close_idlest(self) -> None:
        """Make room where descriptors have run out."""
        if self._last_progress:
            self._counters.connections_evicted += 1
            next(iter(self._last_progress)).close()

    def close_all(self, network: str | None = None) -> None:
        """Close the connections on `network`, or all."""
        for client in self.connections:
            if network is None or client.network == network:
                client.close()
        if not self._last_progress and self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(IDLE_SECONDS / 10, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._clock()
        while self._last_progress:
            client, last = next(iter(self._last_progress.items()))
            if now - last < IDLE_SECONDS:
                self._schedule_sweep()
                return
            client.close()


class TcpClient:
    """One connection. `is_idle` while nothing of it is under way."""

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        network: Network,
        responder: Responder,
        clients: TcpClients,
    ) -> None:
        self.host = host
        self.network = network.name
        self._socket = sock
        self._responder = responder
        self._view_of = partial(responder.view_of, network, host)
        self._clients = clients
        self._incoming = bytearray()
        self._unsent = bytearray()
        self._under_way = 0
        self._in_turn = False  # answering at this moment, or due to go on
        self._ended = False  # the client will ask no more
        self._closed = False
        self._reads = self._writes = False
        self._loop = asyncio.get_running_loop()
        self._watch()

    def __repr__(self) -> str:
        state = "CLOSED" if self._closed else "IDLE" if self.is_idle else "BUSY"
        return f"<TcpClient {self.host} [{state}, {self._under_way} under way]>"

    @property
    def is_idle(self) -> bool:
        return not self._under_way and not self._unsent and not self._in_turn

    @property
    def unsent(self) -> int:
        """Octets that the client has not taken yet, beyond what the kernel holds."""
        return len(self._unsent)

    @property
    def _may_go_on(self) -> bool:
        within_limits = self._under_way < PIPELINE_MAX and len(self._unsent) < UNSENT_MAX
        return within_limits and not self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._watch()
            self._socket.close()
            self._clients.left(self)

    def _watch(self) -> None:
        """Have the loop call for what can be done now, and for nothing else."""
        reads = self._may_go_on and not self._ended and not self._in_turn
        if reads and not self._reads:
            self._loop.add_reader(self._socket, self._on_readable)
        elif self._reads and not reads:
            self._loop.remove_reader(self._socket)
        writes = bool(self._unsent) and not self._closed
        if writes and not self._writes:
            self._loop.add_writer(self._socket, self._go_on)
        elif self._writes and not writes:
            self._loop.remove_writer(self._socket)
        self._reads, self._writes = reads, writes

    def _on_readable(self) -> None:
        try:
            received = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._ended = not received
        self._incoming += received
        self._go_on()

    def _go_on(self) -> None:
        """Answer what came in and send what is answered, as far as limits, turn and peer allow."""
        self._in_turn = True
        answered = 0
        while answered < ANSWERS_PER_TURN and self._may_go_on and self._has_query:
            self._answer_next()
            answered += 1
        self._flush()
        self._in_turn = self._may_go_on and self._has_query
        if self._in_turn:
            self._loop.call_soon(self._go_on)
        elif self._ended and self.is_idle:
            self.close()
        self._watch()

    @property
    def _has_query(self) -> bool:
        """Whether a whole frame came in, or one whose length alone is wrong."""
        if len(self._incoming) < 2:
            return False
        return not self._is_sound(self._length) or len(self._incoming) >= self._length + 2

    @staticmethod
    def _is_sound(length: int) -> bool:
        return 0 < length <= QUERY_MAX

    @property
    def _length(self) -> int:
        return int.from_bytes(self._incoming[:2], "big")

    def _answer_next(self) -> None:
        length = self._length
        packet = bytes(self._incoming[2 : length + 2])
        del self._incoming[: length + 2]
        self._clients.progressed(self)
        self._under_way += 1
        is_dns = self._is_sound(length) and self._responder.respond(
            self._view_of(), packet, self.host, self._send, stream=True
        )
        if not is_dns:
            self.close()

    def _send(self, reply: bytes) -> None:
        """Send one answer, now or long after it was asked for."""
        self._under_way -= 1
        if self._closed:
            return
        self._unsent += len(reply).to_bytes(2, "big") + reply
        if not self._in_turn:
            self._go_on()

    def _flush(self) -> None:
        if self._closed or not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        self._clients.progressed(self)


class TcpListener:
    """Accepts connections on one network's socket."""

    def __init__(
        self, sock: socket.socket, network: Network, responder: Responder, clients: TcpClients
    ) -> None:
        self.socket = sock
        self._network = network
        self._responder = responder
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._listen()

    def __repr__(self) -> str:
        return f"<TcpListener on {self._network.name} [{len(self._clients)} clients in all]>"

    def close(self) -> None:
        """Stop accepting. Connections live on."""
        self._loop.remove_reader(self.socket)
        if self._retry is not None:
            self._retry.cancel()
        self.socket.close()

    def _listen(self) -> None:
        self._retry = None
        self._loop.add_reader(self.socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, peer = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause()
                    return
                continue  # this one connection came to nothing (accept(2), "Error handling")
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            client = TcpClient(sock, peer[0], self._network, self._responder, self._clients)
            self._clients.admit(client)

    def _pause(self) -> None:
        """Make room and try again soon: what is queued would wake us again at once."""
        self._clients.close_idlest()
        self._loop.remove_reader(self.socket)
        self._retry = self._loop.call_later(_RETRY_ACCEPT, self._listen)
