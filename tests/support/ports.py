"""Ports of the machine itself, for the few tests that need one by its number."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

_numbers = itertools.count(1024)


def unused_port() -> int:
    """A TCP port that is free, and that the kernel gives to nobody meanwhile: those who ask for any
    port get one from 32768 on (ip_local_port_range)."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("", port)):
            return port


def closed_address() -> tuple[str, int]:
    """A loopback address and a port where nobody listens, by TCP or UDP, now or later: another for
    each process and each call."""
    pid = os.getpid()
    return f"127.{pid >> 16 & 63 | 64}.{pid >> 8 & 255}.{pid & 255}", next(_numbers)
