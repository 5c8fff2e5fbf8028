"""Compose projects: what a file wants, and the steps that lead there."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..method import Method, Params
from .port import Transport

Action = Literal["create", "delete", "connect", "disconnect", "forward", "unforward", "forget"]
# "planned": only shown, or not reached after a failure.
StepState = Literal["planned", "done", "failed"]


class WantedNetwork(Params, frozen=True):
    """A network. `subnet` None: the next free /24; `mtu` None: as configured. An `external` one is
    not the project's: it has to exist."""

    name: str
    subnet: str | None = None
    mtu: int | None = None
    nat: bool = True
    external: bool = False


class WantedConnection(Params, frozen=True):
    """A workload's place on a network. `ip` and `mac` None: volt chooses."""

    network: str
    workload: str
    ip: str | None = None
    mac: str | None = None


class WantedForward(Params, frozen=True):
    """Ports of the host that lead to a workload, in the words of `net.port.add`."""

    host_port: str
    target: str
    target_port: str
    proto: Transport = "tcp"
    host_ip: str | None = None


class Wanted(Params, frozen=True):
    """A Compose file, resolved."""

    name: str
    networks: tuple[WantedNetwork, ...] = ()
    connections: tuple[WantedConnection, ...] = ()
    forwards: tuple[WantedForward, ...] = ()


class Up(Wanted, frozen=True):
    """`dry_run`: only say what would be done."""

    dry_run: bool = False


class Down(Params, frozen=True):
    """The project whose objects go. `dry_run`: only say which."""

    name: str
    dry_run: bool = False


class Step(Struct, frozen=True):
    """One change. `what` names the object, and `detail` says more about it."""

    action: Action
    what: str
    detail: str = ""
    state: StepState = "planned"


class Report(Struct, frozen=True, kw_only=True):
    """What was, or would be, done. `changed` is False when there was nothing to do.

    `failure` is why it stopped at the step that failed, and `hint` what to do about that; the steps
    before it stay done. `notes` are sentences on objects that the project uses but did not make.
    """

    project: str
    changed: bool
    steps: list[Step]
    notes: list[str] = []
    failure: str | None = None
    hint: str | None = None


UP = Method("compose.up", Up, Report, "Make what a Compose file wants", changes=True)
DOWN = Method("compose.down", Down, Report, "Delete what a project made", changes=True)

METHODS = (UP, DOWN)
