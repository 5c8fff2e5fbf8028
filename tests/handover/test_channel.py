"""Records and descriptors over a socket pair."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from volt_agent.handover import message
from volt_agent.handover.channel import (
    Channel,
    ChannelClosedError,
    close_all,
    memory_file,
    read_memory_file,
)


def pair() -> tuple[Channel, Channel]:
    ours, theirs = Channel.pair()
    return ours, Channel.inherited(theirs.detach())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_descriptors_come_with_their_record() -> None:
    """More than the socket buffer holds, in order, and none is left behind."""

    async def scenario() -> None:
        before = open_descriptors()
        ours, theirs = pair()
        theirs.set_blocking(False)

        async def send() -> None:
            for number in range(200):
                file = memory_file(b"%d" % number)
                await ours.tell(message.Descriptors((f"file-{number}",) * 200), [file] * 200)
                os.close(file)
            ours.close()

        sending = asyncio.create_task(send())
        for number in range(200):
            said, descriptors = await theirs.hear()
            assert isinstance(said, message.Descriptors)
            assert said.names[0] == f"file-{number}"
            assert read_memory_file(descriptors.pop()) == b"%d" % number
            close_all(descriptors)
        with pytest.raises(ChannelClosedError):
            await theirs.hear()
        await sending
        theirs.close()
        assert open_descriptors() == before

    asyncio.run(scenario())


def test_the_end_of_the_other_side_is_noticed() -> None:
    """By who sends and who waits."""

    async def scenario() -> None:
        ours, theirs = pair()
        waiting = asyncio.create_task(ours.hear())
        await asyncio.sleep(0)
        theirs.close()
        with pytest.raises(ChannelClosedError):
            await waiting
        with pytest.raises(ChannelClosedError):
            ours.send(message.Done())
        ours.close()

    asyncio.run(scenario())


def test_descriptors_of_what_is_not_understood_are_closed() -> None:
    """Nothing leaks with a bad record."""
    ours, theirs = Channel.pair()
    file = memory_file(b"")
    before = open_descriptors()
    socket.send_fds(theirs, [b"nonsense"], [file, file])
    with pytest.raises(message.BadMessageError):
        ours.receive()
    assert open_descriptors() == before
    os.close(file)
    ours.close()
    theirs.close()


def test_only_such_a_socket_is_inherited() -> None:
    """A number in the environment may be anything."""
    with socket.socket() as other:
        with pytest.raises(OSError, match="not a socket of a hand-over"):
            Channel.inherited(other.fileno())
        assert other.fileno() >= 0


def test_whether_the_other_side_keeps_up() -> None:
    """Known without asking it."""
    ours, theirs = pair()
    ours.send(message.Serving())
    assert not ours.has_been_read
    theirs.receive()
    assert ours.has_been_read
    ours.close()
    theirs.close()
