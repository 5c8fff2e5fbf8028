"""Records and descriptors over a socket pair (SOCK_SEQPACKET): whole, or not at all."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from .message import MOST_DESCRIPTORS, RECORD_MAX, BadMessageError, Message, decode, encode

T = TypeVar("T")

_ROOM = socket.CMSG_SPACE(4 * (MOST_DESCRIPTORS + 1))


class ChannelClosedError(Exception):
    """The other side has ended."""


class Channel:
    """One side of the pair. Descriptors that are sent stay the sender's; received ones are the
    receiver's, and are not inherited by programs that it starts."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """Our side, and the other one for a program to be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return Channel(ours), theirs

    @staticmethod
    def inherited(descriptor: int) -> Channel:
        """The side that a program was started with. Raises OSError if it is no such socket."""
        sock = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)
        if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            sock.detach()
            raise OSError("not a socket of a hand-over")
        return Channel(sock)

    def close(self) -> None:
        self._sock.close()

    def set_blocking(self, blocks: bool) -> None:
        self._sock.setblocking(blocks)

    @property
    def has_been_read(self) -> bool:
        """Whether the other side has received all that was sent, or has ended (unix_ioctl() in
        net/unix/af_unix.c)."""
        count = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return not any(count)

    # ---- without a loop -------------------------------------------------------------------------

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one record. Raises ChannelClosedError, and BlockingIOError if it must not wait."""
        rights = array.array("i", descriptors)
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        try:
            self._sock.sendmsg([encode(message)], attached, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelClosedError(error.strerror) from error

    def receive(self) -> tuple[Message, list[int]]:
        """The next record and its descriptors. Raises ChannelClosedError, BadMessageError, and
        BlockingIOError if it must not wait."""
        try:
            record, ancillary, flags, _ = self._sock.recvmsg(
                RECORD_MAX, _ROOM, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError as error:
            raise ChannelClosedError(error.strerror) from error
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        try:
            if not record:
                raise ChannelClosedError("ended")
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise BadMessageError("a record was cut off")
            return decode(record), list(descriptors)
        except BaseException:
            close_all(descriptors)
            raise

    # ---- on the loop ----------------------------------------------------------------------------

    async def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """`send`, waiting for room without holding up the loop."""
        loop = asyncio.get_running_loop()
        await self._when(
            loop.add_writer, loop.remove_writer, lambda: self.send(message, descriptors)
        )

    async def hear(self) -> tuple[Message, list[int]]:
        """`receive`, waiting without holding up the loop."""
        loop = asyncio.get_running_loop()
        return await self._when(loop.add_reader, loop.remove_reader, self.receive)

    async def _when(
        self, watch: Callable[..., object], unwatch: Callable[[int], object], work: Callable[[], T]
    ) -> T:
        while True:
            try:
                return work()
            except BlockingIOError:
                await self._ready(watch, unwatch)

    async def _ready(self, watch: Callable[..., object], unwatch: Callable[[int], object]) -> None:
        ready, descriptor = asyncio.Event(), self._sock.fileno()
        watch(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            unwatch(descriptor)


def memory_file(octets: bytes) -> int:
    """A descriptor of an anonymous file with these octets; close it when done."""
    descriptor = os.memfd_create("volt-hand-over", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(octets)
    return descriptor


def read_memory_file(descriptor: int) -> bytes:
    """What somebody put into `memory_file`; closes it."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def close_all(descriptors: Sequence[int] | array.array[int]) -> None:
    for each in descriptors:
        with suppress(OSError):
            os.close(each)
