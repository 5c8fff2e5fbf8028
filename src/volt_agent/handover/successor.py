"""The side that takes over: it understands everything first, and says so.

All of this happens before the loop and before any thread, so that the process can fork: the agent
that goes on must not be the incumbent's child, or nobody would hear of its end once the incumbent
has ended (a service manager adopts orphans).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType

from .. import __version__
from ..config import ConfigError, load
from ..errors import VoltError
from ..firewall.incremental import Compiled
from ..model.snapshot import Change, Snapshot
from ..options import AgentOptions
from ..store.codec import Row, Unreadable, objects
from ..store.database import VERSION as STORE_VERSION
from . import message
from .channel import Channel, ChannelClosedError, close_all, read_memory_file

log = logging.getLogger(__name__)

# Where a successor finds its side of the socket pair.
ENVIRONMENT = "VOLT_HAND_OVER"
# The descriptors that are no sockets of a service, by name.
LOCK, CLAIM = "state-lock", "namespace-claim"
# What an agent reads late, so that nobody waits: here the incumbent is still at work.
_LATE = ("control_plane", "ingress.server", "kernel.pyroute")


class Inheritance:
    """What the incumbent has left: descriptors by name, and the channel to it.

    `since` is when it stopped writing (time.monotonic()), `generation` that of this agent.
    """

    def __init__(
        self, channel: Channel, generation: int, since: float, descriptors: Mapping[str, int]
    ) -> None:
        self.channel, self.generation, self.since = channel, generation, since
        rest = dict(descriptors)
        self.lock, self.claim = rest.pop(LOCK), rest.pop(CLAIM)
        self.sockets = rest

    def __repr__(self) -> str:
        return f"<Inheritance [generation {self.generation}, {sorted(self.sockets)}]>"


class _RefusedError(Exception):
    """Why this program cannot take over, in a line."""


def inherit(
    options: AgentOptions, environment: MutableMapping[str, str] | None = None
) -> Inheritance | None:
    """Take over from the agent that started this process, if one did.

    Returns once this process may write; None for a process that nobody waits for. Ends the process
    if it cannot take over, or is not wanted any more.
    """
    taken = os.environ if environment is None else environment
    descriptor = taken.pop(ENVIRONMENT, "")
    if not descriptor.isdecimal():
        return None
    try:
        channel = Channel.inherited(int(descriptor))
    except OSError:
        return None
    try:
        return _inherit(channel, options)
    except ChannelClosedError:
        sys.exit(0)  # the incumbent has changed its mind, or ended


def _inherit(channel: Channel, options: AgentOptions) -> Inheritance:
    with _Telling(channel):
        offer, (rows, log_place) = _offer(channel)
        _check(offer, read_memory_file(rows), options)
    _leave_parent()
    os.dup2(log_place, 2)
    os.close(log_place)
    channel.send(message.Ready(__version__, os.getpid()))
    since, descriptors = _await_take(channel)
    return Inheritance(channel, offer.generation + 1, since, descriptors)


class _Telling:
    """Whatever goes wrong within is told to the incumbent, and ends this process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _RefusedError | message.BadMessageError):
            reason = str(error)
        elif isinstance(error, VoltError):
            reason = "; ".join(error.message.splitlines())
        else:
            return
        self._channel.send(message.Refusal(reason))
        sys.exit(1)


def _offer(channel: Channel) -> tuple[message.Offer, list[int]]:
    offer, descriptors = channel.receive()
    if not isinstance(offer, message.Offer) or len(descriptors) != 2:
        close_all(descriptors)
        raise _RefusedError("it was not offered anything")
    return offer, descriptors


def _check(offer: message.Offer, rows: bytes, options: AgentOptions) -> None:
    """All that may fail for a reason in the program, its configuration, or what is stored."""
    if offer.store_version != STORE_VERSION:
        raise _RefusedError(
            f"state.db has version {offer.store_version}, "
            f"and volt {__version__} knows version {STORE_VERSION} only"
        )
    try:
        load(Path(options.config), required=options.config_named)
    except ConfigError as error:
        raise _RefusedError("; ".join(error.mistakes)) from None
    try:
        stored = objects(Row(*each) for each in message.unpack_rows(rows))
    except Unreadable as error:
        raise _RefusedError(f"volt {__version__} does not understand state.db: {error}") from None
    Compiled.of(Snapshot().apply(Change(put=stored)))
    for each in _LATE:
        importlib.import_module(f"volt_agent.{each}")


def _leave_parent() -> None:
    """Go on as an orphan."""
    if os.fork():
        os._exit(0)


def _await_take(channel: Channel) -> tuple[float, dict[str, int]]:
    """When the incumbent stopped, and what it has left."""
    found: dict[str, int] = {}
    while True:
        said, descriptors = channel.receive()
        if isinstance(said, message.Descriptors) and len(said.names) == len(descriptors):
            found.update(zip(said.names, descriptors, strict=True))
        elif isinstance(said, message.Take) and {LOCK, CLAIM} <= found.keys():
            return said.since, found
        else:
            raise ChannelClosedError("not understood")
