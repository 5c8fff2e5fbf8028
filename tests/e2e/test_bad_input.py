"""Bad input: one clear line, the exit status of the contract, and nothing changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support import rootless
from tests.support.host import SOCKET, Host
from tests.support.kernel_objects import identities
from tests.support.machine import ROOM
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

REFUSED, USAGE, NOT_FOUND, NOT_RUNNING = 1, 2, 3, 4


class Bad(NamedTuple):
    """A command, its exit status, and what the error must mention."""

    command: str
    status: int
    mentions: str


TABLE = [
    # names
    Bad("net connect nosuch web", NOT_FOUND, "nosuch"),
    Bad("net disconnect nosuch", NOT_FOUND, "nosuch"),
    Bad("net inspect nosuch", NOT_FOUND, "nosuch"),
    Bad("net delete nosuch", NOT_FOUND, "nosuch"),
    Bad("net bridge delete nosuch", NOT_FOUND, "nosuch"),
    Bad("container inspect nosuch", NOT_FOUND, "nosuch"),
    Bad("net create backend --subnet 10.99.0.0/24", REFUSED, "backend"),
    Bad("net create ../x", USAGE, "../x"),
    Bad("net create with%20space", USAGE, "with space"),
    Bad("net create " + "x" * 300, USAGE, "63"),
    Bad("net create UPPER", USAGE, "UPPER"),
    Bad("net create -- -x", USAGE, "-x"),
    Bad("net create", USAGE, "NAME"),
    Bad("net connect backend ../x", USAGE, "../x"),
    Bad("net connect backend with%20space", USAGE, "with space"),
    # subnets
    Bad("net create bad --subnet 10.0.0.1/24", USAGE, "10.0.0.1/24"),
    Bad("net create bad --subnet 10.9.0.0/31", USAGE, "/31"),
    Bad("net create bad --subnet 0.0.0.0/0", USAGE, "0.0.0.0/0"),
    Bad("net create bad --subnet fd00::/64", USAGE, "IPv6"),
    Bad("net create bad --subnet many", USAGE, "many"),
    Bad("net create bad --subnet 10.30.0.0/16", REFUSED, "backend"),
    Bad("net create bad --subnet 192.0.2.0/25", REFUSED, "192.0.2.0/24"),
    Bad("net create bad --subnet 127.0.0.0/24", USAGE, "127.0.0.0/24"),
    Bad("net create bad --mtu 5", USAGE, "5"),
    Bad("net create bad --mtu many", USAGE, "many"),
    # addresses
    Bad("net connect backend new --ip 10.31.0.5", REFUSED, "10.31.0.5"),
    Bad("net connect backend new --ip 10.30.0.1", REFUSED, "gateway"),
    Bad("net connect backend new --ip 10.30.0.255", REFUSED, "10.30.0.255"),
    Bad("net connect backend new --ip 10.30.0.99", REFUSED, "taken-one"),
    Bad("net connect backend new --ip fd00::1", USAGE, "fd00::1"),
    Bad("net connect backend new --mac 00:11:22", USAGE, "00:11:22"),
    Bad("net connect backend new --mac 01:00:5e:00:00:01", USAGE, "01:00:5e:00:00:01"),
    Bad("net connect backend new --kind ship", USAGE, "ship"),
    Bad("net connect full new", REFUSED, "full"),
    # deleting
    Bad("net delete backend", REFUSED, "web"),
    Bad("net delete volt0", REFUSED, "volt0"),
    # the command line itself
    Bad("net list -o xml", USAGE, "xml"),
    Bad("net lits", USAGE, "list"),
    Bad("nte", USAGE, "net"),
    Bad("net list --nosuch", USAGE, "--nosuch"),
    Bad("net connect backend", USAGE, "WORKLOAD"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """web on backend, with an address of its own; and a network that is full."""
    with Host() as host:
        host.start_agent()
        host.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
        host.volt("net", "connect", "backend", "taken-one", "--ip", "10.30.0.99")
        host.connect("backend", "web")
        host.volt("net", "create", "full", "--subnet", "10.40.0.0/30")
        host.volt("net", "connect", "full", "the-only-one")
        yield host


def state(host: Host) -> dict[str, Any]:
    """All that a refused command might have changed."""
    return {
        "networks": host.call("net.list"),
        "workloads": host.call("ps"),
        "kernel": identities(host),
    }


def test_every_bad_command_is_refused_in_one_line_and_changes_nothing(site: Host) -> None:
    """The table, row by row; the state is compared at the end."""
    before = state(site)
    wrong = [found for bad in TABLE if (found := complaint_about(bad, site))]
    assert not wrong, "\n".join(wrong)
    assert state(site) == before


def complaint_about(bad: Bad, host: Host) -> str | None:
    """Run a bad command; what is wrong with its answer, if anything."""
    words = [word.replace("%20", " ") for word in bad.command.split()]
    done = host.volt(*words, check=False)
    complaint = _complaint(bad, done.returncode, done.stdout, done.stderr)
    if complaint is None:
        return None
    return f"volt {bad.command[:60]}: {complaint}\n{done.stdout}{done.stderr}"


def _complaint(bad: Bad, status: int, stdout: str, stderr: str) -> str | None:
    lines = stderr.splitlines()
    if status != bad.status:
        return f"exit status {status}, not {bad.status}"
    if stdout or not lines or not lines[0].startswith("error: "):
        return "not one line that begins with `error: ` on stderr"
    if any(not line.startswith("hint: ") for line in lines[1:]) or len(lines) > 2:
        return "more than an error and a hint"
    return None if bad.mentions in stderr else f"does not mention {bad.mentions!r}"


def test_no_agent(site: Host) -> None:
    """Exit status 4, and how to start it."""
    done = site.volt("--socket", "/run/nosuch.sock", "net", "list", check=False)
    assert done.returncode == NOT_RUNNING
    assert done.stderr.startswith("error: ")
    assert "/run/nosuch.sock" in done.stderr
    assert site.volt("--version", environment={"VOLT_SOCKET": "/run/nosuch.sock"}).stdout


def test_a_socket_that_one_may_not_use(site: Host) -> None:
    """Somebody who is neither root nor in the group volt is told so."""
    python = rootless.interpreter()
    if python is None:
        pytest.skip("no Python that other users may run")
    drop = [*rootless.become(), python, "-m", "volt_agent.cli", "net", "list"]
    done = site.run(*drop, check=False, environment={"PYTHONPATH": rootless.python_path()})
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr.startswith("error: ")
    assert "volt" in done.stderr


def test_a_configuration_with_five_mistakes(site: Host) -> None:
    """All of them at once, each with its path; `check` and `run` say the same and end with 2."""
    path = ROOM / "wrong.yaml"
    site.path(path).write_text(
        "network:\n"
        "  mtu: many\n"
        "  default_subnet: 10.0.0.1/24\n"
        "  dns: {upstream: [nowhere]}\n"
        "  nosuch: 1\n"
        "ingress: {http_port: 70000}\n"
    )
    for command in (["agent", "check"], ["agent", "run"]):
        done = site.volt(*command, "--config", str(path), check=False)
        assert done.returncode == USAGE, command
        for mistake in (
            "network.mtu",
            "network.default_subnet",
            "network.dns.upstream[0]",
            "network.nosuch",
            "ingress.http_port",
        ):
            assert f"wrong.yaml: {mistake}" in done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr


def test_json_that_is_not_json(site: Host) -> None:
    """400 with an error object, whatever is wrong with it."""
    for body in ("{", "[]", "nonsense", '{"name": 5}', '{"nosuch": 1}', '"x"', "\x00"):
        status, answer = site.request("POST", "/v1/net.inspect", body)
        assert status == 400, (body, status, answer)
        assert set(json.loads(answer)["error"]) >= {"code", "message"}
    assert site.request("POST", "/v1/no.such", "{}")[0] == 404
    assert site.request("GET", "/v1/net.list")[0] == 405


def test_a_request_of_100_megabytes(site: Host) -> None:
    """413, and the agent's memory does not grow."""
    assert site.agent is not None
    before = site.agent.resident_bytes()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(60)
        sock.connect(str(site.path(SOCKET)))
        sock.sendall(b"POST /v1/net.list HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert sock.recv(1000).split()[1] == b"413"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(60)
        sock.connect(str(site.path(SOCKET)))
        sock.sendall(b"POST /v1/net.list HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert _send_until_refused(sock) == b"413"
    assert site.agent.resident_bytes() - before < 20_000_000


def _send_until_refused(sock: socket.socket) -> bytes:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        for _ in range(100):
            sock.sendall(chunk)
    except OSError:
        pass  # it stopped reading, as it should
    return sock.recv(1000).split()[1]


def test_a_thousand_idle_connections(site: Host) -> None:
    """They cannot keep anybody out."""
    idle = []
    try:
        for _ in range(1000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            idle.append(sock)
            sock.connect(str(site.path(SOCKET)))
        assert site.volt("net", "list").returncode == 0
        assert site.is_ready()
    finally:
        for sock in idle:
            sock.close()


# BR_MAX_PORTS is 1,024, of which the kernel keeps number 0 for itself (net/bridge/br_if.c).
BRIDGE_PORTS = 1023


def test_a_full_bridge(running: Host) -> None:
    """The next container waits, with the reason shown, and gets its port once there is room."""
    running.volt("net", "create", "large", "--subnet", "10.64.0.0/21")
    lines = []
    for number in range(BRIDGE_PORTS):
        lines.append(f"link add p{number} type veth peer name q{number}")
        lines.append(f"link set p{number} master volt-large")
    running.run("ip", "-batch", "-", input="\n".join(lines) + "\n", within=120)
    running.volt("net", "connect", "large", "web")
    running.add_workload("web")
    wait_until(
        lambda: any("ports" in each["reason"] for each in running.events("degraded")),
        "the reason is said",
    )
    assert "ports" in running.volt("net", "inspect", "large").stdout
    running.run("ip", "link", "delete", "p7")
    address = running.call("container.inspect", name="web")["networks"][0]["ip"]
    running.traffic.await_name("host", "10.64.0.1", "web", address, 30)
