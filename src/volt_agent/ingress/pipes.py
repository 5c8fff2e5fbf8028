"""Pipes that carry large plain bodies from socket to socket within the kernel (splice(2)).

The bytes never come here: that takes half to a fifth of the CPU of reading and writing them. A pipe
is taken for one event and given back when it is empty; while the receiver is slow it waits with it,
as `_output` does otherwise. What waits in a pipe is bounded by its capacity, and the pipes by
PIPES_MAX: without one, bodies are read and written as everything else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

# Bytes that a pipe holds: a body of 10 MiB costs twice as much with a quarter of it, and two thirds
# with four times as much, which is too much to wait for one slow client.
PIPE_SIZE = 262_144
# All together hold half of what a user without privileges may have (pipe-user-pages-soft, pipe(7)).
PIPES_MAX = 128
_SPARE_MAX = 8
# Bytes still to come for which a pipe is worth it.
POUR_MIN = 16_384


class Pipe:
    """A pipe with `held` bytes in it. Its truth value: whether anything is."""

    __slots__ = ("_read", "_write", "held")

    def __init__(self) -> None:
        """Raises OSError if descriptors have run out."""
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # beyond what a user without privileges may have in all
            fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self.held = 0

    def __len__(self) -> int:
        return self.held

    def __repr__(self) -> str:
        return f"<Pipe [{self.held} bytes]>"

    def take(self, descriptor: int, most: int) -> int:
        """Up to `most` bytes in from a socket; 0 at its end. Raises OSError as recv(2) does."""
        count = os.splice(descriptor, self._write, most, flags=os.SPLICE_F_NONBLOCK)
        self.held += count
        return count

    def give(self, descriptor: int) -> int:
        """What is in it out to a socket, as far as that takes it. Raises OSError as send(2)."""
        count = os.splice(self._read, descriptor, self.held, flags=os.SPLICE_F_NONBLOCK)
        self.held -= count
        return count

    def content(self) -> bytes:
        """What is in it, read."""
        data = b""
        while self.held:
            data += os.read(self._read, self.held)
            self.held -= len(data)
        return data

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Pipes:
    """All pipes of a data path."""

    def __init__(self) -> None:
        self._all: set[Pipe] = set()
        self._spare: list[Pipe] = []

    def __repr__(self) -> str:
        return f"<Pipes [{len(self._all)}, {len(self._spare)} of them spare, {self.held} bytes]>"

    @property
    def held(self) -> int:
        """Bytes in all of them together."""
        return sum(each.held for each in self._all)

    def obtain(self) -> Pipe | None:
        """An empty one; None if there are too many."""
        if self._spare:
            return self._spare.pop()
        if len(self._all) >= PIPES_MAX:
            return None
        try:
            pipe = Pipe()
        except OSError:
            return None
        self._all.add(pipe)
        return pipe

    def release(self, pipe: Pipe) -> None:
        """Take one back, whatever is in it."""
        if pipe or len(self._spare) >= _SPARE_MAX:
            self._all.remove(pipe)
            pipe.close()
        else:
            self._spare.append(pipe)

    def close(self) -> None:
        """Close those that nobody has."""
        while self._spare:
            pipe = self._spare.pop()
            self._all.remove(pipe)
            pipe.close()
