"""The client of the control RPC: synchronous, on a plain socket, with few imports.

What is imported here is most of what a `volt` command costs, which is why h11 is used bare.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import TypeVar

import h11
from msgspec import DecodeError, Struct, ValidationError, json

from ..errors import AgentNotRunning, Failed, Forbidden, VoltError
from .failure import error_from
from .method import Method

P = TypeVar("P", bound=Struct)
R = TypeVar("R")

# The slowest calls wait for the kernel or for an upstream DNS server; both give up far sooner.
TIMEOUT = 60.0
READ_SIZE = 65536

START_HINT = "start it: `volt agent run`, or the service that runs it here"
GROUP_HINT = "join the group volt: sudo usermod -aG volt $USER, then log in again"


class Answer(Struct, frozen=True):
    """A response as it came. `seconds` is from connecting to the last byte."""

    status: int
    body: bytes
    seconds: float


class Client:
    """Talks to the first agent that answers on `paths`. A connection per request.

    `timeout` is in seconds, for connecting and for every read.
    """

    def __init__(self, paths: Sequence[str], timeout: float = TIMEOUT) -> None:
        self.paths = tuple(paths)
        self._timeout = timeout

    def call(self, method: Method[P, R], params: P) -> R:
        """Make a call. Raises the agent's VoltError, AgentNotRunning or Forbidden."""
        return decoded(self.ask(method, params), method.result)

    def ask(self, method: Method[P, R], params: P) -> Answer:
        """Make a call and return the response as it is, be it the result or an error."""
        return self.request("POST", f"/v1/{method.name}", json.encode(params))

    def request(self, verb: str, target: str, body: bytes = b"") -> Answer:
        """One request, whatever its status. Raises AgentNotRunning, Forbidden or Failed."""
        started = time.perf_counter()
        with self.connect() as sock:
            try:
                status, received = _exchange(sock, verb, target, body)
            except TimeoutError as error:
                raise Failed(f"the agent did not answer within {self._timeout:g} s") from error
            except (OSError, h11.RemoteProtocolError) as error:
                raise Failed(f"the agent broke off the connection: {error}") from error
        return Answer(status, received, time.perf_counter() - started)

    def connect(self) -> socket.socket:
        """A socket connected to the first of `paths` where an agent listens.

        If there is none, one that listens but cannot be used is worth more than one that is
        absent: that error is raised.
        """
        denied: VoltError | None = None
        for path in self.paths:
            sock = socket.socket(socket.AF_UNIX)
            try:
                self._connect(sock, path)
            except PermissionError:
                denied = Forbidden(f"you may not use the agent's socket {path}", GROUP_HINT)
            except BlockingIOError:
                denied = Failed(f"the agent on {path} is too busy to answer")
            except OSError:
                pass
            else:
                return sock
            sock.close()
        where = " or ".join(self.paths)
        raise denied or AgentNotRunning(
            f"no agent is running (nobody answers on {where})", START_HINT
        )

    def _connect(self, sock: socket.socket, path: str) -> None:
        """While the agent's backlog is full, connect() waits on a blocking socket only: one with a
        time-out of Python's fails with EAGAIN at once (unix(7))."""
        whole, part = divmod(self._timeout, 1)
        patience = struct.pack("ll", int(whole), int(part * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        sock.connect(path)
        sock.settimeout(self._timeout)


def decoded(answer: Answer, result: type[R]) -> R:
    """The result in a 200. Raises the error in anything else."""
    if answer.status != 200:
        raise error_from(answer.status, answer.body)
    try:
        return json.decode(answer.body, type=result)
    except (ValidationError, DecodeError) as error:
        hint = "`volt --version` shows whether the agent is of another version"
        raise Failed(f"the agent's answer is not understood: {error}", hint) from error


def _exchange(sock: socket.socket, verb: str, target: str, body: bytes) -> tuple[int, bytes]:
    http = h11.Connection(h11.CLIENT)
    headers = [("host", "volt"), ("connection", "close"), ("content-length", str(len(body)))]
    if body:
        headers.append(("content-type", "application/json"))
    request = h11.Request(method=verb, target=target, headers=headers)
    parts = (request, h11.Data(data=body), h11.EndOfMessage())
    sock.sendall(b"".join(http.send(part) or b"" for part in parts))
    return _receive(sock, http)


def _receive(sock: socket.socket, http: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(sock.recv(READ_SIZE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
