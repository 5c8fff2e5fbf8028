"""The synchronous client, against real and broken servers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.control.rig import Rig
from volt_agent.control.client import Client
from volt_agent.control.failure import error_body, error_from
from volt_agent.control.messages import network
from volt_agent.control.method import Nothing
from volt_agent.errors import AgentNotRunning, Failed, NotFound, VoltError


@contextmanager
def server_that_says(path: Path, answer: bytes, *, hang: bool = False) -> Iterator[Client]:
    """Accepts one client and sends `answer` whatever it asked; with `hang` it does not close."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        leave = threading.Event()

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer)
                if hang:
                    leave.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Client([str(path)], 0.2)
        finally:
            leave.set()
            thread.join()


def test_a_call_returns_the_result() -> None:
    """Typed by its method."""
    with Rig() as rig:
        found = rig.client().call(network.LIST, Nothing())
        assert [each.name for each in found] == ["volt0", "backend"]
        made = rig.client().call(network.CREATE, network.CreateNetwork(name="new"))
        assert (made.bridge, made.changed) == ("volt-new", True)


def test_the_agents_error_is_raised_again() -> None:
    """The class that the agent raised, with message and hint."""
    with Rig() as rig, pytest.raises(NotFound, match="there is no network x") as error:
        rig.client().call(network.DELETE, network.NetworkName(name="x"))
    assert error.value.hint == "volt net list shows them"


def test_the_first_agent_that_answers_is_used(tmp_path: Path) -> None:
    """Absent and dead sockets are passed over."""
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    with Rig() as rig:
        client = Client([str(tmp_path / "absent"), str(dead), rig.path])
        assert client.call(network.LIST, Nothing())


@pytest.mark.parametrize("kind", ["absent", "dead", "file", "directory"])
def test_no_agent(tmp_path: Path, kind: str) -> None:
    """The message names the socket, the hint how to start an agent."""
    path = tmp_path / "agent.sock"
    if kind == "dead":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    elif kind == "file":
        path.write_text("")
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(AgentNotRunning, match=r"agent\.sock") as error:
        Client([str(path)]).request("GET", "/healthz")
    assert "volt agent run" in str(error.value.hint)


def test_a_path_that_cannot_be_a_socket() -> None:
    """Longer than a socket's name may be."""
    with pytest.raises(AgentNotRunning):
        Client(["/tmp/" + "x" * 200]).request("GET", "/healthz")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "broke off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[", "broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n[", "not understood"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "not understood"),
        (b"HTTP/1.1 502 Bad\r\ncontent-length: 2\r\n\r\nno", "answered 502"),
    ],
)
def test_a_server_that_is_no_agent(tmp_path: Path, answer: bytes, message: str) -> None:
    """One line says what happened; nothing else is raised."""
    with server_that_says(tmp_path / "s", answer) as client, pytest.raises(Failed, match=message):
        client.call(network.LIST, Nothing())


def test_an_agent_that_does_not_answer(tmp_path: Path) -> None:
    """The client gives up."""
    with (
        server_that_says(tmp_path / "s", b"", hang=True) as client,
        pytest.raises(Failed, match=r"within 0\.2 s"),
    ):
        client.call(network.LIST, Nothing())


def test_an_agent_that_does_not_accept(tmp_path: Path) -> None:
    """A full backlog is waited for, then reported as what it is."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        with Client([str(tmp_path / "s")], 0.2).connect(), pytest.raises(Failed, match="too busy"):
            Client([str(tmp_path / "s")], 0.2).connect()


def test_an_unknown_code_is_a_failure() -> None:
    """A newer agent may have errors that this client does not know."""
    error = error_from(418, error_body("teapot", "I am a teapot", "brew"))
    assert type(error) is Failed
    assert (error.message, error.hint) == ("I am a teapot", "brew")


def test_every_error_survives_the_wire() -> None:
    """What is raised there is raised here."""

    def all_of(kind: type[VoltError]) -> Iterator[type[VoltError]]:
        yield kind
        for each in kind.__subclasses__():
            if each.__module__ == "volt_agent.errors":
                yield from all_of(each)

    for kind in all_of(VoltError):
        error = error_from(kind.http_status, error_body(kind.code, "why", "how"))
        assert error.exit_status == kind.exit_status
        assert (error.code, error.message, error.hint) == (kind.code, "why", "how")


def test_nothing_stays_open() -> None:
    """A call closes its socket, whatever comes of it."""
    with Rig() as rig:
        before = len(os.listdir("/proc/self/fd"))
        rig.client().call(network.LIST, Nothing())
        with pytest.raises(NotFound):
            rig.client().call(network.DELETE, network.NetworkName(name="x"))
        with rig.connect():
            pass
        assert len(os.listdir("/proc/self/fd")) <= before + 3  # the server's ends may lag
