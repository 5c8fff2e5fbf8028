"""`volt ingress serve`: the ingress alone, in the foreground, without root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from tests.support import rootless
from tests.support.host import Host
from tests.support.ports import unused_port
from tests.support.process import wait_until


class Origin(BaseHTTPRequestHandler):
    """Says what it was asked for."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']}{self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[str]:
    """A web server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Serving:
    """`volt ingress serve` as a normal user on this machine's loopback, at two free ports."""

    def __init__(self, room: Path) -> None:
        self.ports = unused_port(), unused_port()
        self.environ = os.environ | {
            "XDG_STATE_HOME": str(room),
            "XDG_RUNTIME_DIR": str(room),
            "VOLT_CONFIG": str(room / "config.yaml"),
            "PYTHONPATH": rootless.python_path(),
        }
        (room / "config.yaml").write_text("")
        if os.geteuid() == 0:
            os.chown(room, rootless.NOBODY, rootless.NOBODY)
        options = [f"--http-port={self.ports[0]}", f"--https-port={self.ports[1]}"]
        self.process = self.start("serve", *options)

    def start(self, *words: str) -> subprocess.Popen[str]:
        python = rootless.interpreter()
        assert python is not None
        return subprocess.Popen(
            [*rootless.become(), python, "-m", "volt_agent.cli", "ingress", *words],
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def volt(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def get(self, host: str, path: str) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[0]}{path}", headers={"Host": host}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read().decode())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def serving() -> Iterator[Serving]:
    if rootless.interpreter() is None:
        pytest.skip("no Python that a normal user may run")
    with TemporaryDirectory() as room:  # not pytest's, where nobody else may go
        made = Serving(Path(room))
        try:
            wait_until(lambda: made.volt("status")[0] == 0, "it answers")
            yield made
        finally:
            made.stop()


def test_it_serves_without_root(serving: Serving, origin: str) -> None:
    """High ports; routes come and go by the usual commands; SIGTERM ends it with 0."""
    words = ("create", "--name", "web", "--hostname", "app.example.com", "--backend", origin)
    assert serving.volt(*words)[0] == 0
    assert serving.get("app.example.com", "/x") == "app.example.com/x"
    _, out, _ = serving.volt("status", "-o", "json")
    states: list[Mapping[str, object]] = json.loads(out)["listeners"]
    assert [(each["port"], each["state"]) for each in states] == [
        (port, "listening") for port in serving.ports
    ]
    assert serving.stop() == 0


def test_a_second_one_is_refused(serving: Serving) -> None:
    """With how to change the ports of the first."""
    status, _, err = serving.volt("serve", "--http-port", "18080")
    assert status == 1
    assert "an agent is running" in err
    assert "ingress.http_port" in err


def test_low_ports_need_root(serving: Serving) -> None:
    """One line that says what to do; kernels that let everybody have them aside."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        pytest.skip("this kernel gives ports below 1024 to everybody")
    serving.stop()
    status, _, err = serving.volt("serve")
    assert status == 1
    assert "port 80" in err
    assert "--http-port 8080" in err
    assert "Traceback" not in err


@pytest.mark.kernel
def test_an_agent_is_the_ingress_already(host: Host) -> None:
    """The handbook's commands beside a running agent: refused, with what to do instead."""
    host.start_agent()
    for line in ("ingress serve", "ingress serve --http-port 8080 --https-port 8443"):
        refused = host.volt(*line.split(), check=False)
        assert refused.returncode == 1
        assert "volt agent reload" in refused.stderr


@pytest.mark.kernel
def test_the_handbooks_command_on_a_host_without_agent(host: Host) -> None:
    """As root, at the usual ports; other commands say what runs here."""
    for words in ([], ["--http-port", "8080", "--https-port", "8443"]):
        process = host.start(*host.agent_command[:1], "ingress", "serve", *words)
        host.await_ready()
        listeners = host.volt_json("ingress", "status")["listeners"]
        wanted = [8080, 8443] if words else [80, 443]
        assert [each["port"] for each in listeners] == wanted
        assert {each["state"] for each in listeners} == {"listening"}
        assert "only the ingress runs here" in host.volt("net", "list", check=False).stderr
        assert process.end() == 0
