"""The stand-in for systemd does what systemd does."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.support.service_manager import ServiceManager

# A service that says what it was given, then does what the test asks for on `orders`.
_SERVICE = r"""
import array, os, signal, socket, sys
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
out.connect(os.environ["NOTIFY_SOCKET"])
def say(text, *fds):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    out.sendmsg([text.encode()], rights)
given = os.environ.get("LISTEN_FDNAMES", "").split(":") if "LISTEN_FDS" in os.environ else []
assert not given or os.environ["LISTEN_PID"] == str(os.getpid())
assert int(os.environ.get("LISTEN_FDS", 0)) == len(given)
sockets = {name: socket.socket(fileno=3 + place) for place, name in enumerate(given)}
ports = {name: each.getsockname()[1] for name, each in sockets.items()}
"""


@pytest.fixture
def managed(request: pytest.FixtureRequest) -> Iterator[ServiceManager]:
    """A service whose body is the test's parameter."""
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-c", _SERVICE + request.param]
    manager = ServiceManager(command, listeners={"web": listener}, store_max=2)
    yield manager
    manager.close()
    listener.close()


def body(text: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("managed", [text], indirect=True, ids=[""])


_KEEP_ONE = """
if "dns" not in sockets:
    sockets["dns"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sockets["dns"].bind(("127.0.0.1", 0))
    say("FDSTORE=1\\nFDPOLL=0\\nFDNAME=dns", sockets["dns"].fileno())
say(f"READY=1\\nSTATUS={sockets['dns'].getsockname()[1]} {','.join(given)}")
signal.pause()
"""


@body(_KEEP_ONE)
def test_a_socket_survives_restart_and_crash_but_not_a_stop(managed: ServiceManager) -> None:
    """The same socket comes back under its name, after the listeners of the socket units."""
    managed.start()
    port, given = managed.states["STATUS"].split()
    assert given == "web"
    managed.restart()
    assert managed.states["STATUS"] == f"{port} web,dns"
    managed.kill()
    assert managed.status == -9
    managed.start()
    assert managed.states["STATUS"] == f"{port} web,dns"
    managed.stop()
    assert managed.store == []
    managed.start()
    assert managed.states["STATUS"].split()[1] == "web"


@body(_KEEP_ONE)
def test_what_arrives_while_the_service_is_dead_waits(managed: ServiceManager) -> None:
    """A datagram to a stored socket is in its buffer when the service is back."""
    managed.start()
    port = int(managed.states["STATUS"].split()[0])
    managed.kill()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"still there?", ("127.0.0.1", port))
    with socket.socket(fileno=os.dup(managed.store[0][1])) as stored:
        stored.settimeout(60)
        assert stored.recv(100) == b"still there?"


@body("""
one, two, three = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(3))
say("FDSTORE=1\\nFDNAME=one", one.fileno())
say("FDSTORE=1\\nFDNAME=again", one.fileno())
say("FDSTORE=1\\nFDNAME=a:b", two.fileno())
say("FDSTORE=1\\nFDNAME=three", three.fileno())
say("READY=1")
signal.pause()
""")
def test_the_store_refuses_what_systemd_refuses(managed: ServiceManager) -> None:
    """A second copy, a name with a colon (kept as "stored"), more than it has room for."""
    managed.start()
    assert [name for name, _ in managed.store] == ["one", "stored"]
    assert len(managed.refused) == 3


@body("""
one, other = socket.socketpair()
say("FDSTORE=1\\nFDNAME=polled", one.fileno())
say("FDSTORE=1\\nFDPOLL=0\\nFDNAME=kept", os.dup(1))
other.close()
say("FDSTOREREMOVE=1\\nFDNAME=nothing")
say("READY=1")
signal.pause()
""")
def test_a_dead_descriptor_leaves_the_store(managed: ServiceManager) -> None:
    """A hang-up removes it, unless it was stored with FDPOLL=0."""
    managed.start()
    managed.handle(0)
    assert [name for name, _ in managed.store] == ["kept"]


@body("""
if os.fork() == 0:
    say("STATUS=from a child")
    os._exit(0)
os.wait()
say("READY=1")
kept = socket.create_server(("127.0.0.1", 0))
say("FDSTORE=1\\nFDPOLL=0\\nFDNAME=x", kept.fileno())
say("FDSTOREREMOVE=1\\nFDNAME=x")
say("WATCHDOG=1")
signal.pause()
""")
def test_only_the_main_process_counts(managed: ServiceManager) -> None:
    """NotifyAccess=main: a child's notification is refused; FDSTOREREMOVE empties a name."""
    managed.start()
    managed.await_state("WATCHDOG", "1", 5)
    assert "STATUS" not in managed.states
    assert managed.store == []
    assert len(managed.refused) == 1


@body("sys.exit(3)")
def test_an_early_end_is_told(managed: ServiceManager) -> None:
    """A service that ends before READY=1 is an error with its status."""
    with pytest.raises(ChildProcessError, match="ended with 3"):
        managed.start()
