"""A stand-in for systemd-machined on a private bus: the same objects, signals and errors."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from volt_agent.runtimes.machine_bus import MANAGER, SERVICE

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon of the test's own, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._config, self._socket = folder / "bus.conf", folder / "bus"
        self._config.write_text(_CONFIG.format(path=self._socket))
        self.address = f"unix:path={self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class FakeMachined:
    """Answers as machined does; `add` and `remove` also tell of it."""

    def __init__(self, address: str, **leaders: int) -> None:
        self._address = address
        self.machines = {".host": _facts(".host", 1, "host")}
        self.machines |= {name: _facts(name, pid, "container") for name, pid in leaders.items()}
        self.asked: list[str] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(SERVICE)
        try:
            yield
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Off the bus, as if it had crashed."""
        self._bus.disconnect()
        with suppress(EOFError, OSError):  # or the bus itself is gone
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def add(self, name: str, leader: int, kind: str = "container", links: Any = ()) -> None:
        self.machines[name] = _facts(name, leader, kind, list(links))
        await self.tell("MachineNew", name)

    async def remove(self, name: str) -> None:
        del self.machines[name]
        await self.tell("MachineRemoved", name)

    async def tell(self, member: str, name: str) -> None:
        signal = Message.new_signal(
            MANAGER, f"{SERVICE}.Manager", member, "so", [name, _path(name)]
        )
        await self._bus.send(signal)

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.asked.append(message.member or "")
        match message.member:
            case "ListMachines":
                rows = [
                    [name, facts["Class"].value, "systemd-nspawn", _path(name)]
                    for name, facts in self.machines.items()
                ]
                return Message.new_method_return(message, "a(ssso)", [rows])
            case "GetMachine" if message.body[0] in self.machines:
                return Message.new_method_return(message, "o", [_path(message.body[0])])
            case "GetAll":
                for name, facts in self.machines.items():
                    if _path(name) == message.path:
                        return Message.new_method_return(message, "a{sv}", [facts])
        raise DBusError(f"{SERVICE}.NoSuchMachine", "No machine of this name")


def _facts(name: str, leader: int, kind: str, links: list[int] | None = None) -> dict[str, Any]:
    return {
        "Name": Variant("s", name),
        "Class": Variant("s", kind),
        "Leader": Variant("u", leader),
        "NetworkInterfaces": Variant("ai", links or []),
        "State": Variant("s", "running"),
    }


def _path(name: str) -> str:
    escaped = "".join(each if each.isalnum() else f"_{ord(each):02x}" for each in name)
    return f"{MANAGER}/machine/{escaped}"
