"""Connections to the host itself that a change no longer allows, while the host keeps sending."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.firewall.lab import SNAPSHOT, Lab
from tests.firewall.lines import GUARD, HOST, PATIENT, Line, commit
from tests.firewall.objects import rule
from tests.support.namespaces import socket_in
from volt_agent.model.snapshot import Change, Object

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bed() -> Iterator[Lab]:
    bed = Lab()
    yield bed
    bed.close()


TO_HOST = rule("open", 1, "accept", "outside", "host", "tcp 8080")
FROM_APP = rule("open", 1, "accept", "app", "host", "tcp 8080")


@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize(
    ("opened", "source", "target"),
    [(TO_HOST, "outside", str(HOST)), (FROM_APP, "app", "10.0.0.1")],
    ids=["from outside", "from a workload"],
)
def test_what_is_revoked_on_the_host_is_cut(
    bed: Lab, opened: Object, source: str, target: str, sender: str
) -> None:
    """The host may speak to anybody: with its next segment it would revive the connection, so its
    end is closed. Another one to the same listener, which something else allows, lives on."""
    other = rule("other", 2, "accept", "cache", "host", "tcp 8080")
    bed.load(SNAPSHOT.apply(Change(put=(opened, other))))
    with (
        Line(bed, source, target, 8080, ("host", 8080)) as line,
        Line(bed, "cache", "10.30.0.1", 8080, ("host", 8080)) as beside,
        Download(line.server) as stream,
    ):
        assert line.client.recv(100)
        assert commit(bed, delete=(opened,)) == 1
        assert stream.ended.wait(PATIENT)
        assert is_drained(line.client)
        assert not line.lives(sender)
        assert beside.lives(sender)


def test_the_hosts_listener_is_not_closed(bed: Lab) -> None:
    """Where the host's end of a connection is gone already, only that is left to be found."""
    bed.load(SNAPSHOT.apply(Change(put=(TO_HOST,))))
    with socket_in(bed.path("host"), socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", 8080))
        listener.listen()
        listener.settimeout(PATIENT)
        with socket_in(bed.path("outside"), socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENT)
            client.connect((str(HOST), 8080))
            end, _address = listener.accept()
            linger = struct.pack("ii", 1, 0)  # close() sends RST, and nothing is left of it
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.close()
        commit(bed, delete=(TO_HOST,))
        commit(bed, TO_HOST)
        with socket_in(bed.path("outside"), socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENT)
            client.connect((str(HOST), 8080))
            listener.accept()[0].close()


class Download:
    """Sends all the time until an error ends it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Download:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _send(self) -> None:
        self._end.settimeout(0.005)
        with suppress(ConnectionError, BrokenPipeError):
            while True:
                with suppress(TimeoutError):
                    self._end.send(b"x" * 100)
        self.ended.set()


def is_drained(end: socket.socket) -> bool:
    """Whether what is still under way to `end` comes to an end: closed, reset or silent."""
    end.settimeout(GUARD)
    read = 0
    try:
        while data := end.recv(1 << 16):
            read += len(data)
            if read > 1 << 24:
                return False
    except OSError:
        pass
    return True
