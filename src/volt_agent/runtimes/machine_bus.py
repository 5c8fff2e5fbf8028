"""The edge to systemd-machined: its machines, as it tells of them over D-Bus.

org.freedesktop.machine1(5). Signals are taken as hints only: anybody on the system bus may send one
to us, so whatever a signal says is asked of machined again.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

SERVICE = "org.freedesktop.machine1"
MANAGER = "/org/freedesktop/machine1"
_MANAGER_INTERFACE = SERVICE + ".Manager"
_MACHINE_INTERFACE = SERVICE + ".Machine"
_DBUS = "org.freedesktop.DBus"
_RULES = (
    f"type='signal',sender='{SERVICE}',path='{MANAGER}',interface='{_MANAGER_INTERFACE}'",
    f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{SERVICE}'",
)
# The bus: what the variable says, or this socket (dbus-daemon(1)).
ADDRESS, SOCKET = "DBUS_SYSTEM_BUS_ADDRESS", "/run/dbus/system_bus_socket"
# Seconds for an answer. The first one may have to wait for machined to be started.
ANSWER_WITHIN = 5.0

# A machine of this name came or went; None: anything may have changed, for machined began anew or
# the connection is lost (then the next question raises NoMachinesError).
Hint = Callable[[str | None], None]


class NoMachinesError(Exception):
    """machined cannot be asked: there is no bus, no machined on it, or no answer in time."""


class Machine(Struct, frozen=True):
    """One machine as machined knows it. `kind` is its Class ("container", "vm", "host").

    `leader` is the pid of its first process; `interfaces` are the indexes of the host's links that
    lead to it; `is_closing` says that it has ended and machined is still clearing up.
    """

    name: str
    kind: str
    leader: int
    interfaces: tuple[int, ...] = ()
    is_closing: bool = False


class MachineBus:
    """One connection to the system bus ($DBUS_SYSTEM_BUS_ADDRESS, or the usual socket)."""

    def __init__(self, bus: MessageBus, hint: Hint) -> None:
        self._bus, self._hint = bus, hint
        self._end = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        self._end.add_done_callback(self._ended)

    @classmethod
    async def open(cls, hint: Hint) -> MachineBus:
        """Connect, and call `hint` from now on. Raises NoMachinesError."""
        if not _is_there():
            raise NoMachinesError("no system bus")
        # The import takes 40 ms: not on the loop, and not where there is no bus.
        aio = await asyncio.to_thread(importlib.import_module, "dbus_fast.aio")
        constants = importlib.import_module("dbus_fast.constants")
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                bus = await aio.MessageBus(bus_type=constants.BusType.SYSTEM).connect()
        except Exception as error:  # the library raises whatever it meets, EOFError for one
            raise NoMachinesError(f"no system bus ({_reason(error)})") from error
        made = cls(bus, hint)
        try:
            await made._listen()
        except BaseException:
            await made.close()
            raise
        return made

    async def _listen(self) -> None:
        self._bus.add_message_handler(self._receive)
        for rule in _RULES:
            await self._call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)

    async def close(self) -> None:
        """End the connection, and wait a moment until its socket is closed."""
        self._bus.disconnect()
        await asyncio.wait({self._end}, timeout=1)

    # ---- questions ------------------------------------------------------------------------------

    async def names(self) -> list[str]:
        """The names of all machines, the host itself (".host") not among them."""
        (machines,) = await self._call(SERVICE, MANAGER, _MANAGER_INTERFACE, "ListMachines")
        return [name for name, kind, _service, _path in machines if kind != "host"]

    async def describe(self, name: str) -> Machine | None:
        """One machine; None if there is none (any more)."""
        try:
            (path,) = await self._call(
                SERVICE, MANAGER, _MANAGER_INTERFACE, "GetMachine", "s", name
            )
            (found,) = await self._call(
                SERVICE, path, _DBUS + ".Properties", "GetAll", "s", _MACHINE_INTERFACE
            )
        except _AnsweredError:
            return None
        return Machine(
            name=found["Name"].value,
            kind=found["Class"].value,
            leader=found["Leader"].value,
            interfaces=tuple(found["NetworkInterfaces"].value),
            is_closing=found["State"].value == "closing",
        )

    async def _call(
        self, service: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """Call a method. Raises _AnsweredError, or NoMachinesError where nobody answers."""
        from dbus_fast import Message, MessageType

        question = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        if self._end.done():
            raise NoMachinesError("the connection to the system bus is lost")
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await self._bus.call(question)
        except Exception as error:
            raise NoMachinesError(f"{member}: {_reason(error)}") from error
        if answer is None or answer.message_type is MessageType.ERROR:
            name = (answer.error_name or "") if answer is not None else "no answer"
            if name.startswith(_DBUS):
                raise NoMachinesError(f"no systemd-machined ({name.rpartition('.')[2]})")
            raise _AnsweredError(name)
        return list(answer.body)

    # ---- hints ----------------------------------------------------------------------------------

    def _ended(self, end: asyncio.Future[None]) -> None:
        if not end.cancelled():
            end.exception()  # retrieved: how it ended makes no difference
        self._hint(None)

    def _receive(self, message: Message) -> None:
        """Called for every message on the connection."""
        body = message.body
        match message.member:
            case "MachineNew" | "MachineRemoved" if body and isinstance(body[0], str):
                self._hint(body[0])
            case "NameOwnerChanged" if len(body) == 3 and body[2]:
                self._hint(None)


def _is_there() -> bool:
    return ADDRESS in os.environ or os.path.exists(SOCKET)


class _AnsweredError(Exception):
    """machined answered with an error of its own."""


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
