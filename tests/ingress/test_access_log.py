"""The access log, written by a real proxy to real files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.ingress.bench import answers, bench
from volt_agent.ingress.access_log import LINES_MAX, AccessLog
from volt_agent.ingress.counters import Counters
from volt_agent.ingress.observer import Observer
from volt_agent.ingress.targets import Endpoint, Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Request:
    """As much of a client as the log looks at."""

    address, method, host, path = "192.0.2.7", b"GET", b"a.example", b"/"
    status, received, sent, started, answered_at = 200, 0, 2, 1.0, 0.0
    endpoint: Endpoint | None = Endpoint(("10.0.0.2", 80), "web:80")
    fields = b"Host: a.example\r\nUser-Agent: curl/8\r\n\r\n"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each) for each in path.read_bytes().splitlines()]


def logged(path: Path, *requests: Request) -> list[dict[str, Any]]:
    log = AccessLog(str(path))
    for each in requests:
        log.write(each, Target("web"), 1.5)  # type: ignore[arg-type]
    log.close()
    log.wait()
    return lines(path)


def test_requests_through_the_proxy_are_logged(tmp_path: Path) -> None:
    """One line each, with what was asked and what was answered, whoever answered."""
    path = tmp_path / "access.log"
    observer = Observer(Counters(0.0))
    observer.log = log = AccessLog(str(path))
    with bench(answers(OK)) as made:
        made.proxy.observer = observer
        client = made.client()
        fields = b"Host: a.example\r\nUser-Agent: curl/8\r\nReferer: http://b/\r\n\r\n"
        for target in (b"/one?x=1", b"/two"):
            client.send(b"GET %b HTTP/1.1\r\n%b" % (target, fields))
            assert client.head() + client.exactly(2) == OK
        client.send(b"nonsense\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 400 ")
    observer.log_to(None)
    log.wait()
    one, two, refused = lines(path)
    assert one["time"].startswith("20")
    assert one["time"].endswith("Z")
    assert 0 <= one["upstream_seconds"] <= one["seconds"] < 10
    for line, asked in ((one, "/one?x=1"), (two, "/two")):
        line = {key: each for key, each in line.items() if key not in ("time", "bytes")}
        assert {**line, "seconds": 0, "upstream_seconds": 0} == {
            "client": "127.0.0.1",
            "host": "a.example",
            "user_agent": "curl/8",
            "referer": "http://b/",
            "method": "GET",
            "path": asked,
            "status": 200,
            "received": 0,
            "seconds": 0,
            "route": "web",
            "backend": made.target.endpoints[0].backend,
            "upstream_seconds": 0,
        }
    assert (refused["status"], refused["route"], refused["backend"]) == (400, None, None)
    assert observer.counters.requests == 3
    assert observer.counters.unrouted.classes[4] == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'/"quoted"\\', '/"quoted"\\'),
        (b"/\x00\x1b[31m\n", "/\x00\x1b[31m\n"),
        (b"/\xe4\xff", "/\xe4\xff"),
        (b"/" + b"x" * 5000, "/" + "x" * 2044 + "..."),
    ],
)
def test_nothing_gets_out_of_its_field(tmp_path: Path, text: bytes, shown: str) -> None:
    """Quotation marks and control characters are escaped, long texts cut; one line stays one."""
    request = Request()
    request.path = text
    request.fields = b"User-Agent: " + text.replace(b"\n", b"") + b"\r\n"
    (line,) = logged(tmp_path / "log", request)
    assert line["path"] == shown
    raw = (tmp_path / "log").read_bytes()
    assert raw.count(b"\n") == 1
    assert not set(raw[:-1]) & {*range(32), 127 + 256}


def test_a_request_without_fields_or_backend_has_none(tmp_path: Path) -> None:
    """Null, not an empty text."""
    request = Request()
    request.endpoint, request.fields = None, b""
    (line,) = logged(tmp_path / "log", request)
    assert line["route"] == "web"
    assert [line[key] for key in ("backend", "upstream_seconds", "user_agent", "referer")] == [
        None
    ] * 4


def test_a_rotated_file_is_reopened(tmp_path: Path) -> None:
    """Nothing is lost on the way."""
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(path))
    log.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
    until(lambda: path.exists() and path.stat().st_size)
    path.rename(old)
    log.reopen()
    until(path.exists)
    log.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
    log.close()
    until(lambda: not log._thread.is_alive())
    assert len(lines(old)) == len(lines(path)) == 1
    assert log.lost == 0


class EndsLate(AccessLog):
    """Gets its last line, and its end, just when its thread has looked for lines."""

    is_ended = False

    def _write_waiting(self) -> None:
        super()._write_waiting()
        if not self.is_ended:
            self.is_ended = True
            self.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
            self.close()


def test_the_last_line_is_written(tmp_path: Path) -> None:
    """However it meets the end."""
    log = EndsLate(str(tmp_path / "log"))
    log.reopen()
    until(lambda: not log._thread.is_alive())
    assert len(lines(tmp_path / "log")) == 1


def test_a_file_that_takes_nothing_costs_lines_only(tmp_path: Path) -> None:
    """Writing never waits; what has no room is counted; the process ends all the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    log = AccessLog(str(pipe))  # to open it waits for a reader
    started = time.thread_time()
    for _ in range(LINES_MAX + 10_000):
        log.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
    assert time.thread_time() - started < 2.0
    assert log.lost >= 1
    log.close()
    log.wait()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # let the thread go
    until(lambda: log._fd >= 0)
    os.close(reader)
    log._thread.join(10.0)
    assert not log._thread.is_alive()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """And used once it can be."""
    folder = tmp_path / "missing"
    log = AccessLog(str(folder / "log"))
    log.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
    until(lambda: log.problem)
    assert log.problem == "no such file or directory"
    assert log.lost == 1
    folder.mkdir()
    log.write(Request(), Target("web"), 1.5)  # type: ignore[arg-type]
    log.close()
    log.wait()
    assert len(lines(folder / "log")) == 1
    assert log.problem is None
