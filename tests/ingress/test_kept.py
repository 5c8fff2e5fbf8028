"""Tunnels that outlive their process: killed before or after any system call, no byte is wrong."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ingress.bench import WITHIN
from volt_agent.handover.connections import Side
from volt_agent.ingress.kept import KeptEnd
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.positions import Broken, advance, recover
from volt_agent.ingress.targets import Endpoint

IDLE = 3600.0
NEW = Side(b"", has_ended=False, received=0)


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection, with small buffers: every way is full at times."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        one.connect(listening.getsockname())
        other, _address = listening.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    for each in (one, other):
        each.setblocking(False)
    return one, other


class Mortal:
    """A socket whose user is killed at one of its calls: at step 2 * n before the n-th, at
    2 * n + 1 after it. The calls of both ends count together."""

    def __init__(self, sock: socket.socket, steps: list[int]) -> None:
        self._sock, self._steps = sock, steps

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._sock, name)
        if name in ("fileno", "setsockopt", "getsockopt", "setblocking"):
            return call

        def counted(*arguments: Any) -> Any:
            self._step()
            try:
                return call(*arguments)
            finally:
                self._step()

        return counted

    def _step(self) -> None:
        self._steps[0] -= 1
        if self._steps[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def forward(near: Any, far: Any, baselines: tuple[int, int], step: int) -> None:
    """One life: find out what the former one left half done, and go on until the end or death."""
    steps = [step]
    near, far = Mortal(near, steps), Mortal(far, steps)
    recover(near, far, *baselines)
    poller = Poller()
    open_ends = [2]

    def gone(_end: object) -> None:
        open_ends[0] -= 1

    ends = (
        KeptEnd.adopt(poller, near, NEW, "client", IDLE, gone),
        KeptEnd.adopt(poller, far, NEW, Endpoint(("127.0.0.1", 1), "web:1"), IDLE, gone),
    )
    ends[0].join(ends[1])
    while open_ends[0]:
        select.select([poller._epoll], [], [])
        poller._wake()


class User:
    """Somebody at one end: sends `data`, then ends; keeps what comes."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self.sock, self._left = sock, memoryview(data)
        self.got = bytearray()
        self.has_ended = self.is_over = False

    def turn(self, most: int) -> None:
        """Send and read what can be, up to so many bytes."""
        with contextlib.suppress(BlockingIOError):
            if self._left:
                self._left = self._left[self.sock.send(self._left[:most]) :]
            elif not self.has_ended:
                self.has_ended = True
                self.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(most)
            self.got += data
            self.is_over = self.is_over or not data


@contextlib.contextmanager
def life(near: socket.socket, far: socket.socket, baselines: Any, step: int) -> Iterator[int]:
    """A process that forwards, until it is killed at that step or is done; its pid."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            forward(near, far, baselines, step)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        yield pid
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_every_call(seed: int) -> None:
    """Each process dies one step later in its life than the one before it, until one comes to the
    end; both sides get exactly what the other has sent, and its end."""
    chance = random.Random(seed)
    client, near = connected()
    far, server = connected()
    baselines = (advance(near, far), advance(far, near))
    sent = [chance.randbytes(chance.randrange(400_000)) for _ in range(2)]
    users = [User(client, sent[0]), User(server, sent[1])]
    deaths, end = 0, time.monotonic() + WITHIN
    while True:
        with life(near, far, baselines, deaths % 60) as pid:
            while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                select.select([client, server], [], [], 0.0002)
                for each in users:
                    each.turn(chance.choice((1, 999, 30_000)))
                assert time.monotonic() < end
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            break
        deaths += 1
    assert os.waitstatus_to_exitcode(status) == 0
    near.close()
    far.close()
    for each in users:
        while not each.is_over:
            select.select([each.sock], [], [], WITHIN)
            each.turn(65_536)
    for user, data in zip(users, reversed(sent), strict=True):
        assert (len(user.got), data.startswith(user.got)) == (len(data), True)
    for each in users:
        each.sock.close()


def test_a_reset_is_not_taken_for_an_end() -> None:
    """What a reset connection has counted is not believed, also when it is asked twice."""
    client, near = connected()
    far, server = connected()
    with client, near, far, server:
        baselines = advance(near, far), advance(far, near)
        client.send(b"x" * 1000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        for _ in range(2):
            with pytest.raises(Broken):
                recover(near, far, *baselines)
