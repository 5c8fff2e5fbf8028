"""Reads all links and addresses anew, through the very socket that listens. Runs in a thread.

Netlink keeps the order within one socket: a change during the dump is announced after the part of
it that it belongs to. So announcements and dump are applied alike, as they come, and the result is
as true as the mirror was before messages got lost.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple

from .ip_messages import all_addresses
from .link_messages import all_links
from .mirroring import apply
from .netlink import DONE, ERROR, F_DUMP, F_DUMP_INTERRUPTED, Message, Request, refusal
from .state import Mirror
from .subscription import Subscription

_HELPING = 16  # datagrams of up to 32 KiB
# Losing messages again and again means that the buffer is too small for what happens right now.
_ATTEMPTS = 20


class Reading(NamedTuple):
    """The links and addresses there are. `is_whole` is False if links came or went during the dump:
    kernels that dump by position may then have skipped others."""

    mirror: Mirror
    is_whole: bool


def read_everything(socket: Subscription) -> Reading:
    """Whatever waits in the socket is outdated, and thrown away. Raises OSError."""
    for _attempt in range(_ATTEMPTS):
        while not socket.receive(_HELPING).empty:
            pass
        reading = _try(socket)
        if reading is not None:
            return reading
    raise OSError(errno.ENOBUFS, "messages keep getting lost")


def _try(socket: Subscription) -> Reading | None:
    """None if messages were lost meanwhile."""
    mirror, is_whole, has_lost = Mirror(), True, False
    for request in (all_links(), all_addresses()):
        for messages, lost in _dump(socket, request):
            apply(mirror, messages)
            is_whole &= not any(each.flags & F_DUMP_INTERRUPTED for each in messages)
            has_lost |= lost
    return None if has_lost else Reading(mirror, is_whole)


def _dump(socket: Subscription, request: Request) -> Iterator[tuple[list[Message], bool]]:
    """Everything that arrives until the dump is complete, and whether something did not.

    It goes on to the end after a loss: the kernel runs one dump at a time for a socket.
    """
    sequence = socket.ask(request, F_DUMP)
    is_complete = False
    while not is_complete:
        socket.wait()
        helping = socket.receive(_HELPING)
        messages = helping.messages()
        for message in messages:
            if message.sequence == sequence and message.kind in (DONE, ERROR):
                is_complete = True
                error = refusal(message)
                if error is not None:
                    raise error
        yield messages, helping.lost
