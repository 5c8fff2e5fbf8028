"""Nothing acknowledged is lost: crashes at any moment, failing disks, full disks."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.host import Host, RpcError
from tests.support.machine import ROOM
from tests.support.process import Process, wait_until

pytestmark = pytest.mark.kernel

KILLS = 10
KILLS_LONG = 200


class Changes:
    """A stream of changes in a thread, which remembers what was acknowledged.

    `networks` and `connections` are what must be there; `unsure` is the name in the request that
    was under way when the agent died, which may or may not have taken place.
    """

    def __init__(self, host: Host, seed: int) -> None:
        self._host = host
        self._random = random.Random(seed)
        self.networks: set[str] = {"volt0"}
        self.connections: dict[str, str] = {}
        self.acknowledged = 0
        self.unsure: str | None = None

    def run(self) -> None:
        """Change things until the agent is gone."""
        try:
            while True:
                self._change()
                self.acknowledged += 1
        except OSError:
            return  # the agent died; `unsure` says during what

    def _change(self) -> None:
        if len(self.networks) < 4 or (len(self.networks) < 12 and self._random.random() < 0.2):
            self._create(f"n{self._random.randrange(10**9)}")
        elif len(self.connections) > 20 or (self.connections and self._random.random() < 0.4):
            self._disconnect(self._random.choice(sorted(self.connections)))
        else:
            self._connect(f"w{self._random.randrange(10**9)}")

    def _create(self, name: str) -> None:
        self.unsure = name
        self._host.call("net.create", name=name)
        self.networks.add(name)
        self.unsure = None

    def _connect(self, name: str) -> None:
        self.unsure = name
        network = self._random.choice(sorted(self.networks))
        self._host.call("net.connect", network=network, workload=name)
        self.connections[name] = network
        self.unsure = None

    def _disconnect(self, name: str) -> None:
        self.unsure = name
        self._host.call("net.disconnect", workload=name)
        del self.connections[name]
        self.unsure = None

    def settle_with(self, networks: set[str], connections: dict[str, str]) -> None:
        """Compare with what the agent has now, and take over what it decided on the unsure one."""
        assert networks - {self.unsure} == self.networks - {self.unsure}
        assert _without(connections, self.unsure) == _without(self.connections, self.unsure)
        self.networks, self.connections = networks, connections
        self.unsure = None


def _without(connections: dict[str, str], name: str | None) -> dict[str, str]:
    return {key: value for key, value in connections.items() if key != name}


def connections_of(host: Host) -> dict[str, str]:
    """Which workload is on which network, as the agent says."""
    return {
        each["name"]: each["networks"][0]["network"] for each in host.call("ps") if each["networks"]
    }


def networks_of(host: Host) -> set[str]:
    return {each["name"] for each in host.call("net.list")}


def bridges_of(host: Host) -> set[str]:
    """The bridges there are in the kernel."""
    shown = host.run("ip", "-brief", "link", "show", "type", "bridge").stdout
    return {line.split()[0] for line in shown.splitlines()}


@pytest.mark.parametrize(
    "kills", [KILLS, pytest.param(KILLS_LONG, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_a_crash_at_any_moment_loses_nothing_acknowledged(host: Host, kills: int) -> None:
    """SIGKILL during a stream of changes; the next agent has all of them, and the kernel too."""
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    moments = random.Random(seed)
    changes = Changes(host, seed)
    host.start_agent()
    for _ in range(kills):
        stream = threading.Thread(target=changes.run, name="changes")
        stream.start()
        time.sleep(moments.uniform(0.0, 0.25))  # the random moment, not a wait for something
        host.stop_agent(signal.SIGKILL)
        stream.join(60)
        host.start_agent()
        changes.settle_with(networks_of(host), connections_of(host))
        wanted = {each["bridge"] for each in host.call("net.list")}
        assert bridges_of(host) == wanted
    print(f"{changes.acknowledged} acknowledged changes, {kills} kills")
    assert changes.acknowledged > 0


@contextmanager
def failing_fsync(host: Host) -> Iterator[None]:
    """Every fsync of the agent fails with EIO, as that of a dying disk does."""
    assert host.agent is not None
    log = ROOM / "strace.log"
    tracer: Process = host.start(
        "strace", "-f", "-qq", "-o", str(log), "-p", str(host.agent.pid_inside),
        "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO",
    )  # fmt: skip
    status = f"/proc/{host.agent.pid}/status"
    try:
        wait_until(lambda: "TracerPid:\t0" not in _read(status), "strace is attached")
        yield
    finally:
        tracer.end(signal.SIGINT)
    assert "EIO" in host.path(log).read_text(), "no fsync was made to fail"


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_a_failing_fsync_refuses_the_change_and_nothing_else(pair: Host) -> None:
    """A clear error, the change not made anywhere, the agent alive; it works again afterwards."""
    before = networks_of(pair), connections_of(pair), bridges_of(pair)
    with failing_fsync(pair):
        refused = pair.volt("net", "create", "lost", check=False)
        assert (refused.returncode, refused.stderr.startswith("error: ")) == (1, True)
        with pytest.raises(RpcError) as error:
            pair.call("net.connect", network="backend", workload="lost")
        assert error.value.code == "store_failed"
        assert (networks_of(pair), connections_of(pair), bridges_of(pair)) == before
        assert pair.traffic.query("web", "10.30.0.1", "db")["rcode"] == "NOERROR"
    pair.volt("net", "create", "kept")
    pair.stop_agent(signal.SIGKILL)
    pair.start_agent()
    assert networks_of(pair) == before[0] | {"kept"}
    assert connections_of(pair) == before[1]


def test_a_full_disk_refuses_changes_and_keeps_serving(host: Host) -> None:
    """The same on a file system without a free byte."""
    state = ROOM / "state"
    host.run("mkdir", "-p", str(state))
    host.run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(state))
    host.start_agent()
    host.connect("volt0", "web", "db")
    filler = str(state / "filler")
    host.run("dd", "if=/dev/zero", f"of={filler}", "bs=4k", check=False)
    before = networks_of(host), connections_of(host), bridges_of(host)
    refusals = [_try_to_create(host, f"lost-{number}") for number in range(200)]
    first = next(index for index, each in enumerate(refusals) if each)
    assert all(refusals[first:]), "once full, it stays full"
    assert {each for each in refusals if each} == {"store_failed"}
    made = {f"lost-{number}" for number in range(first)}
    assert networks_of(host) == before[0] | made
    assert host.traffic.query("web", "10.0.0.1", "db")["rcode"] == "NOERROR"
    shown = host.volt("net", "create", "another", check=False)
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False)
    host.run("rm", filler)
    host.volt("net", "create", "kept")
    host.stop_agent(signal.SIGKILL)
    host.start_agent()
    assert networks_of(host) == before[0] | made | {"kept"}
    assert connections_of(host) == before[1]


def _try_to_create(host: Host, name: str) -> str | None:
    """The code of the refusal, None if it was done."""
    try:
        host.call("net.create", name=name)
    except RpcError as error:
        return str(error.code)
    return None


def test_an_unknown_version_of_the_store_is_refused(running: Host) -> None:
    """The agent says which file, and does not touch it."""
    running.stop_agent()
    database = running.path(ROOM / "state" / "state.db")
    running.run(*running.python("-c", _FUTURE, str(ROOM / "state" / "state.db")))
    before = database.read_bytes()
    refused = running.run(*running.agent_command, check=False)
    assert refused.returncode == 1
    assert "state.db" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert database.read_bytes() == before


_FUTURE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    tables = [row[0] for row in database.execute("select name from sqlite_master")]
    assert "meta" in tables, tables
    assert database.execute("update meta set value = 999 where name = 'version'").rowcount == 1
database.execute("pragma wal_checkpoint(truncate)")
database.close()
"""
