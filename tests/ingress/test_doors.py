"""Doors open while they are wanted, say who has their port, and are kept over a restart."""

from __future__ import annotations

import os
import socket

import pytest

from tests.support.ports import unused_port
from volt_agent.ingress.doors import Doors
from volt_agent.model.route import Scheme
from volt_agent.service import ServiceManager


class Accepting:
    """An acceptor that only remembers what it was given."""

    def __init__(self) -> None:
        self.schemes: list[Scheme] = []
        self.closed = 0

    def __call__(self, scheme: Scheme, sock: socket.socket) -> Accepting:
        self.schemes.append(scheme)
        return self

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def port() -> int:
    return unused_port()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


def test_a_door_is_open_while_it_is_wanted(port: int) -> None:
    """It listens at once, takes connections from `start` on, and is shut when nobody needs it."""
    accepting = Accepting()
    doors = Doors(ServiceManager({}), accepting)
    assert doors.want({"http": port})
    assert not doors.want({"http": port})
    assert connects(port)
    assert accepting.schemes == []
    doors.start()
    assert set(accepting.schemes) == {"http"}
    assert doors.ports == (port,)
    doors.want({})
    assert not connects(port)
    assert accepting.closed == len(accepting.schemes)


def test_a_busy_port_has_an_owner_and_is_tried_again(port: int) -> None:
    """With the name of the process; then it is had."""
    doors = Doors(ServiceManager({}), Accepting())
    with socket.create_server(("", port)):
        doors.want({"http": port})
        (state,) = doors.states({"http": port})
        assert (state.state, state.reason) == ("busy", f"another process has port {port}")
        doors.look_for_owners()
        (state,) = doors.states({"http": port})
        assert f"listens on 0.0.0.0:{port}" in (state.reason or "")
    doors.retry()
    assert doors.states({"http": port})[0].state == "listening"
    assert doors.refused == {}
    doors.close()


def test_kept_sockets_are_taken_over(port: int) -> None:
    """A connection that waits in one is not lost; one that listens elsewhere is not taken."""
    before = socket.create_server(("0.0.0.0", port))
    waiting = socket.create_connection(("127.0.0.1", port), 2)
    manager = ServiceManager({})
    manager._given = {"ingress-http-4": [os.dup(before.fileno())]}
    before.close()
    doors = Doors(manager, Accepting())
    doors.want({"http": port})
    assert doors.ports == (port,)
    kept = doors._open["http"]._sockets[0]
    accepted, _ = kept.accept()
    assert accepted.getpeername() == waiting.getsockname()
    for each in (accepted, waiting):
        each.close()
    doors.close()
