"""The listening sockets as files and ports."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.control.rig import Rig
from volt_agent.control.sockets import (
    BACKLOG,
    bind_control_socket,
    bind_status_socket,
    inherited_control_socket,
)
from volt_agent.errors import Failed, Forbidden, Invalid, Refused


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "agent.sock")


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_only_owner_and_group_may_connect(path: str) -> None:
    """Mode 0660, in a directory that is made if it is missing, without left-overs beside it."""
    with closing(bind_control_socket(path, None)):
        assert mode_of(path) == 0o660
        assert os.listdir(os.path.dirname(path)) == ["agent.sock"]


@pytest.mark.kernel
def test_the_group_owns_the_socket(path: str) -> None:
    """Members of group volt may connect."""
    with closing(bind_control_socket(path, 4711)):
        assert os.stat(path).st_gid == 4711


def test_closing_removes_the_file(path: str) -> None:
    """A stopped agent leaves no socket that refuses."""
    bind_control_socket(path, None).close()
    assert not os.path.exists(path)


def test_closing_leaves_the_socket_of_a_successor(path: str) -> None:
    """The file is removed only while it is ours."""
    old = bind_control_socket(path, None)
    os.unlink(path)
    with closing(bind_control_socket(path, None)):
        old.close()
        assert os.path.exists(path)


def test_a_dead_agents_socket_is_replaced(path: str) -> None:
    """After a crash the file is there and nobody answers."""
    dead = bind_control_socket(path, None)
    dead.sock.close()
    assert os.path.exists(path)
    with closing(bind_control_socket(path, None)), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_live_agents_socket_is_not_taken(path: str) -> None:
    """Two agents on one socket: the second says who is in the way."""
    with closing(bind_control_socket(path, None)):
        with pytest.raises(Refused, match="another agent is running") as refused:
            bind_control_socket(path, None)
        assert "--socket" in str(refused.value.hint)
        assert os.path.exists(path)


def test_a_busy_agents_socket_is_not_taken(path: str) -> None:
    """An agent that is too busy to accept is alive all the same."""
    with closing(bind_control_socket(path, None)):
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(BACKLOG + 1)]
        for client in waiting:
            client.setblocking(False)
            client.connect(path)
        with pytest.raises(Refused):
            bind_control_socket(path, None)
        for client in waiting:
            client.close()


def test_a_file_in_the_way_is_kept(path: str) -> None:
    """Something that is no socket is not ours to replace."""
    os.makedirs(os.path.dirname(path))
    Path(path).write_text("precious")
    with pytest.raises(Invalid, match="is not a socket"):
        bind_control_socket(path, None)
    assert Path(path).read_text() == "precious"


def test_a_path_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """sun_path has 108 bytes; the message says so instead of OSError."""
    with pytest.raises(Invalid, match="too long"):
        bind_control_socket(str(tmp_path / ("x" * 120)), None)


def test_a_path_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A missing directory below a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="cannot listen on"):
        bind_control_socket(str(tmp_path / "file" / "agent.sock"), None)


def test_a_socket_bound_over_a_killed_process_temporary(path: str) -> None:
    """The temporary name may be left by a process of the same id."""
    os.makedirs(os.path.dirname(path))
    Path(path).with_name(f".{os.getpid()}.sock").write_text("")
    bind_control_socket(path, None).close()


def test_an_inherited_socket_is_served_and_kept(path: str) -> None:
    """With socket activation the service manager owns the file."""
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(path)
        ours.listen()
        inherited = socket.socket(fileno=os.dup(ours.fileno()))
        with (
            Rig(listener=inherited_control_socket(inherited)),
            closing(socket.socket(socket.AF_UNIX)) as client,
        ):
            client.settimeout(60)
            client.connect(path)
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: volt\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert os.path.exists(path)


def test_an_inherited_socket_has_to_tell_who_calls() -> None:
    """The RPC is never served where callers have no credentials."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, pytest.raises(Invalid, match="Unix"):
        inherited_control_socket(tcp)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_status_port_is_named(taken: int) -> None:
    """Whoever reads the message knows which setting to change."""
    with pytest.raises(Refused, match=rf"status.listen: 127.0.0.1:{taken} is in use"):
        bind_status_socket(f"127.0.0.1:{taken}")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_status_on_both_families(listen: str) -> None:
    """IPv6 hosts are written in brackets."""
    with closing(bind_status_socket(listen)) as listener:
        assert listener.sock.getsockname()[1] > 0
        assert not listener.serves_rpc


@pytest.mark.parametrize("listen", ["", "9320", ":9320", "127.0.0.1:", "127.0.0.1:x", "a:99999"])
def test_a_status_address_that_is_none(listen: str) -> None:
    """Malformed addresses are refused by their setting's name."""
    with pytest.raises(Invalid, match=r"status\.listen"):
        bind_status_socket(listen)


def test_an_address_of_somebody_else_is_refused() -> None:
    """An address that this host does not have."""
    with pytest.raises(Failed, match=r"status\.listen"):
        bind_status_socket("192.0.2.1:9320")


# Standard library only: other users may not be able to read where our interpreter is.
USE_SOCKET = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.connect(sys.argv[1])
    except PermissionError:
        sys.exit("denied")
    sock.sendall(b"POST /v1/ps HTTP/1.1\\r\\nhost: v\\r\\ncontent-length: 0\\r\\n\\r\\n")
    sys.exit(sock.recv(12).decode()[-3:])
"""
SYSTEM_PYTHON = "/usr/bin/python3"


def run_as(uid: int, gid: int, groups: list[int], path: str) -> str:
    """What a process with these credentials gets from the socket at `path`."""
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", USE_SOCKET, path],
        user=uid,
        group=gid,
        extra_groups=groups,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stderr.strip()


needs_system_python = pytest.mark.skipif(
    not os.path.exists(SYSTEM_PYTHON), reason=f"no {SYSTEM_PYTHON} that every user can run"
)


@pytest.mark.kernel
@needs_system_python
@pytest.mark.parametrize(
    ("uid", "gid", "groups", "outcome"),
    [
        (0, 0, [], "200"),
        (4242, 4242, [4711], "200"),
        (4242, 4711, [], "200"),
        (4242, 4242, [4712], "denied"),
    ],
)
def test_who_the_file_lets_in(uid: int, gid: int, groups: list[int], outcome: str) -> None:
    """The mode of the socket: root and the group, by real processes of other users."""
    with Rig(group=4711) as rig:
        assert run_as(uid, gid, groups, rig.path) == outcome


@pytest.mark.kernel
@needs_system_python
@pytest.mark.parametrize(
    ("uid", "gid", "groups", "outcome"),
    [
        (0, 0, [], "200"),
        (4242, 4242, [1, 4711, 9], "200"),
        (4242, 4711, [], "200"),
        (4242, 4242, [4712], "403"),
        (4242, 4242, list(range(4500, 4800)), "403"),  # more groups than are looked at
    ],
)
def test_who_the_credentials_let_in(uid: int, gid: int, groups: list[int], outcome: str) -> None:
    """Where the file is open to all, SO_PEERCRED and SO_PEERGROUPS decide."""
    with Rig(group=4711) as rig:
        os.chmod(rig.path, 0o666)
        assert run_as(uid, gid, groups, rig.path) == outcome


@pytest.mark.kernel
def test_the_client_names_the_group() -> None:
    """Somebody who may not connect is told what to do."""
    with Rig() as rig:
        with as_somebody(4242), pytest.raises(Forbidden, match="you may not use") as error:
            rig.client().connect()
        assert "usermod -aG volt" in str(error.value.hint)


@contextmanager
def as_somebody(number: int) -> Iterator[None]:
    """The user and group `number` for a moment, and in no other group."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
