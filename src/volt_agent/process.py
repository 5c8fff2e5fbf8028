"""The process of an agent: how it runs from the first line of its log to its exit status."""

from __future__ import annotations

import asyncio
import datetime
import gc
import os
import resource
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from . import logs
from .config import Config, ConfigError, load
from .errors import VoltError
from .options import AgentOptions

T = TypeVar("T")

# How long one thread may keep the others from running Python (default: 5 ms). The loop waits behind
# a compilation in a thread, and a start's netlink calls behind a busy loop.
SWITCH = 0.0001
# When the collector of cycles looks at young, at middle-aged and at old objects (gc.set_threshold).
# Python's own figures (700, 10, 10) are for small programs: with 100 questions on their way
# upstream, an eighth of the CPU went into looking at objects in use. A look at this many takes less
# than a millisecond.
COLLECT = (10_000, 10, 50)


def run_agent(options: AgentOptions, life: Callable[[Config], Coroutine[Any, Any, int]]) -> int:
    """Run `life` with the configuration that `options` name; returns the exit status.

    Raises VoltError if the agent cannot start or go on.
    """
    raise_descriptor_limit()
    logs.setup(options.log_level, sys.stderr)
    try:
        config = load(Path(options.config), required=options.config_named)
        return run(life(config))
    except ConfigError as error:
        print("\n".join(error.mistakes), file=sys.stderr)
        return error.exit_status
    except ExceptionGroup as group:
        # Task groups wrap what ends them; a user wants the one reason.
        ours, others = group.split(VoltError)
        if ours is None or others is not None:
            raise
        raise _first(ours) from None


def run(life: Coroutine[Any, Any, T]) -> T:
    """Run `life` with the agent's settings of the interpreter."""
    gc.freeze()  # the modules stay: no collection during the start has to look at them
    gc.enable()  # the command line does without
    gc.set_threshold(*COLLECT)
    sys.setswitchinterval(SWITCH)
    return asyncio.run(life)


def settle() -> None:
    """What is there now stays: full collections need not look at it again."""
    gc.freeze()


def raise_descriptor_limit() -> None:
    """As many open files as are allowed: 1,024 is what programs get that still use select(2)."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def started(uptime: float) -> str:
    """When something began that has lasted `uptime` seconds: ISO 8601, UTC."""
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=uptime)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def resident_bytes() -> int:
    """The memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _first(group: ExceptionGroup[VoltError]) -> VoltError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
