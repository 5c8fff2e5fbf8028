"""The protocol of the service manager, spoken with a real socket and real descriptors."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volt_agent.service import ServiceManager


class Listener:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(60)

    def hear(self) -> tuple[list[str], list[int]]:
        """The lines of the next message, and the descriptors that came with it."""
        message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 8)
        return message.decode().split("\n"), list(descriptors)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    name = f"@volt-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    made = Listener(name)
    yield made
    made.close()


def test_fields_become_lines(listener: Listener) -> None:
    """One message, upper case, one line for each field whatever the value is."""
    manager = ServiceManager(listener.environment)
    manager.notify(ready=1, status="two networks,\nfive workloads", mainpid=7)
    assert listener.hear()[0] == [
        "READY=1",
        "STATUS=two networks, five workloads",
        "MAINPID=7",
    ]


def test_a_reload_tells_the_time(listener: Listener) -> None:
    """Type=notify-reload wants to know which reload is meant."""
    ServiceManager(listener.environment).reloading()
    reloading, stamp = listener.hear()[0]
    assert reloading == "RELOADING=1"
    assert stamp.startswith("MONOTONIC_USEC=")
    assert stamp.partition("=")[2].isdecimal()


def test_without_a_manager_nothing_happens() -> None:
    """Successfully."""
    manager = ServiceManager({})
    with socket.socket() as sock:
        manager.notify(ready=1)
        manager.keep("dns-udp-backend", sock)
        manager.forget("dns-udp-backend")
        assert manager.inherited("dns-udp-backend") is None
    assert (manager.has_store, manager.watchdog, manager.close_unclaimed()) == (False, None, ())


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "relative"])
def test_a_manager_that_cannot_be_reached_is_no_trouble(address: str) -> None:
    """The agent works without."""
    ServiceManager({"NOTIFY_SOCKET": address}).notify(ready=1)


def test_a_manager_that_does_not_listen_holds_nobody_up(listener: Listener) -> None:
    """Once its queue is full, messages are let go after a moment, where there is no loop."""
    manager = ServiceManager(listener.environment)
    queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    before = time.monotonic()
    for i in range(queue + 3):
        manager.notify(status=i)
    assert time.monotonic() - before < 20  # without a limit it would be for ever
    assert listener.hear()[0] == ["STATUS=0"]


def test_what_a_busy_manager_has_no_room_for_comes_later(listener: Listener) -> None:
    """Everything, in its order, and descriptors that were closed meanwhile too."""
    queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())

    async def speak() -> None:
        manager = ServiceManager(listener.environment)
        for i in range(queue + 3):
            manager.notify(status=i)
        with socket.socket() as sock:
            manager.keep("web", sock)
        for i in range(queue + 3):
            assert (await asyncio.to_thread(listener.hear))[0] == [f"STATUS={i}"]
        lines, (kept,) = await asyncio.to_thread(listener.hear)
        assert lines[0] == "FDSTORE=1"
        with socket.socket(fileno=kept) as found:
            assert found.type == socket.SOCK_STREAM

    asyncio.run(speak())


def test_a_socket_is_handed_over_with_its_name(listener: Listener) -> None:
    """FDPOLL=0: an error on the socket is no reason to drop it."""
    manager = ServiceManager(listener.environment)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        manager.keep("dns-udp-backend", sock)
        lines, (descriptor,) = listener.hear()
        assert lines == ["FDSTORE=1", "FDPOLL=0", "FDNAME=dns-udp-backend"]
        with socket.socket(fileno=descriptor) as received:
            assert received.getsockname() == sock.getsockname()


def test_keeping_again_replaces(listener: Listener) -> None:
    """The store would keep both."""
    manager = ServiceManager(listener.environment)
    with socket.socket() as one, socket.socket() as two:
        manager.keep("a.b-1", one)
        manager.keep("a.b-1", two)
        messages = [listener.hear() for _ in range(3)]
    for _, descriptors in messages:
        for each in descriptors:
            os.close(each)
    assert [lines[0] for lines, _ in messages] == ["FDSTORE=1", "FDSTOREREMOVE=1", "FDSTORE=1"]


def test_forgetting_removes_by_name(listener: Listener) -> None:
    """FDSTOREREMOVE."""
    ServiceManager(listener.environment).forget("dns-udp-backend")
    assert listener.hear()[0] == ["FDSTOREREMOVE=1", "FDNAME=dns-udp-backend"]


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\nFDSTOREREMOVE=1", "x" * 256, "ü"])
def test_names_that_the_protocol_cannot_carry(name: str) -> None:
    """Refused before anything is sent."""
    with socket.socket() as sock, pytest.raises(ValueError, match="not a name"):
        ServiceManager({}).keep(name, sock)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_looks(
    environment: dict[str, str], seconds: float | None
) -> None:
    """sd_watchdog_enabled(3), and only if this process is meant."""
    assert ServiceManager(environment).watchdog == seconds


@pytest.mark.parametrize(
    ("environment", "has"),
    [
        ({}, True),
        ({"FDSTORE": "64"}, True),
        ({"FDSTORE": "0"}, False),
        ({"NOTIFY_SOCKET": ""}, False),
    ],
)
def test_a_store_is_assumed_unless_denied(environment: dict[str, str], has: bool) -> None:
    """Older systemd versions do not say."""
    assert ServiceManager({"NOTIFY_SOCKET": "/run/notify"} | environment).has_store is has


def test_children_do_not_inherit_the_conversation(listener: Listener) -> None:
    """Everything that is meant for this process is taken out of the environment."""
    environment = listener.environment | {
        "FDSTORE": "8",
        "LISTEN_PID": "1",
        "LISTEN_FDS": "0",
        "LISTEN_FDNAMES": "x",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "PATH": "/bin",
    }
    ServiceManager(environment)
    assert environment == {"PATH": "/bin"}


# ---- descriptors, which start at 3: in a process of its own --------------------------------------

_CHILD = """\
import json, os, sys
from volt_agent.service import ServiceManager

os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"].replace("SELF", str(os.getpid()))
manager = ServiceManager()
told = {}
for name in sys.argv[1:]:
    found = manager.inherited(name)
    told[name] = None if found is None else [found.getsockname()[1], found.getblocking()]
    if found is not None:
        told[name].append(found.get_inheritable())
        found.close()
told["unclaimed"] = manager.close_unclaimed()
print(json.dumps(told))
"""


def handed_over(names: str, *claims: str, pid: str = "SELF") -> tuple[dict[str, object], list[int]]:
    """What a process finds that gets a socket for each of `names`; and the ports of the sockets."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in names.split(":")]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    environment = os.environ | {
        "LISTEN_PID": pid,
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_FDNAMES": names,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    # The shell puts them where the service manager does: 3, 4, ...
    wanted = [f"{3 + i}<&{each.fileno()}" for i, each in enumerate(sockets)]
    command = f'exec "$@" {" ".join(wanted)}'
    try:
        done = subprocess.run(
            ["bash", "-c", command, "bash", sys.executable, "-c", _CHILD, *claims],
            env=environment,
            pass_fds=[each.fileno() for each in sockets],
            capture_output=True,
            check=True,
            text=True,
        )
        return json.loads(done.stdout), [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def test_sockets_are_inherited_by_name() -> None:
    """Each once, not blocking, not passed on; what nobody claims is closed."""
    told, ports = handed_over("one:two:three", "two", "two ", "one")
    assert told["two"] == [ports[1], False, False]
    assert told["one"] == [ports[0], False, False]
    assert told["two "] is None
    assert told["unclaimed"] == ["three"]


def test_a_socket_is_inherited_at_most_once() -> None:
    """Two of one name are handed over one after the other, a third time there is none."""
    told, ports = handed_over("same:same", "same")
    assert told["same"] == [ports[0], False, False]
    assert told["unclaimed"] == ["same"]


def test_sockets_for_another_process_are_left_alone() -> None:
    """$LISTEN_PID names who is meant."""
    told, _ = handed_over("one", "one", pid="1")
    assert (told["one"], told["unclaimed"]) == (None, [])


def test_a_successor_gets_what_is_open(listener: Listener) -> None:
    """Sockets by name, kept by the manager or not, but for those that are closed or forgotten."""
    manager = ServiceManager(listener.environment)
    with socket.socket() as held, socket.socket() as closed, socket.socket() as forgotten:
        held.bind(("127.0.0.1", 0))
        for name, each in (("held", held), ("closed", closed), ("forgotten", forgotten)):
            manager.hold(name, each)
        closed.close()
        manager.forget("forgotten")
        duplicates = manager.duplicates()
        assert duplicates.keys() == {"held"}
        heir = ServiceManager({}, given=duplicates)
        inherited = heir.inherited("held")
        assert inherited is not None
        with inherited:
            assert inherited.getsockname() == held.getsockname()


def test_a_successor_is_told_of_the_manager(listener: Listener) -> None:
    """But not whom the watchdog watches: that changes with the main process."""
    environment = {**listener.environment, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(environment)
    assert manager.environment.keys() == {"NOTIFY_SOCKET", "WATCHDOG_USEC"}
    assert ServiceManager(dict(manager.environment)).watchdog == 1.5
