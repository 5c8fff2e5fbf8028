"""The private host keeps its promises: everything else is tested on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import leftovers, rootless
from tests.support.host import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS
from tests.support.machine import ROOT, InsideError, Machine
from tests.support.process import wait_until
from tests.support.traffic import Attempt

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["root", "user"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A private machine, made by root and by a user without rights."""
    if request.param == "user" and not rootless.can_run():
        pytest.skip("no user namespaces for normal users here, or no Python they may run")
    options = rootless.machine_options() if request.param == "user" else {}
    with Machine(**options) as machine:
        yield machine


def test_it_is_a_host_with_an_uplink_and_nothing_else(machine: Machine) -> None:
    """Its only links are lo and eth0, both up."""
    links = machine.run("ip", "-brief", "link").stdout.split("\n")[:-1]
    assert [each.split()[0] for each in links] == ["lo", "eth0@if2"]
    assert machine.run("ip", "netns").stdout == ""


def test_the_machine_around_it_is_not_touched() -> None:
    """What happens inside is not seen outside, neither during nor after."""
    before = leftovers.machine(["web"])
    with Machine() as machine:
        machine.do("add_namespace", name="web")
        machine.run("sh", "-c", "mkdir -p /etc/netns/web /run/volt && echo x >/etc/netns/web/x")
        machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        machine.run("nft", "add table inet mine")
        assert leftovers.machine(["web"]) == before
    assert leftovers.machine(["web"]) == before


def test_commands_run_where_they_should(machine: Machine) -> None:
    """In the host, in the outside host, or in a workload with its own resolv.conf."""
    machine.do("add_namespace", name="web")
    machine.run("mkdir", "/etc/netns/web")
    machine.run("tee", "/etc/netns/web/resolv.conf", input="nameserver 10.0.0.1\n")
    assert HOST_ADDRESS in machine.run("ip", "address").stdout
    assert OUTSIDE_ADDRESS in machine.run("ip", "address", where="outside").stdout
    assert machine.run("cat", "/etc/resolv.conf", where="web").stdout == "nameserver 10.0.0.1\n"


def test_a_failing_command_shows_what_it_said(machine: Machine) -> None:
    """The error has the command, its status and its output."""
    with pytest.raises(AssertionError, match=r"ended with 1[\s\S]*No such file"):
        machine.run("cat", "/no/such/file")
    machine.do("add_namespace", name="web")
    with pytest.raises(InsideError, match="File exists"):
        machine.do("add_namespace", name="web")


def test_probes_tell_open_from_closed_from_dropped(machine: Machine) -> None:
    """An answer, a refusal, and a silence before or after the server are different outcomes."""
    machine.traffic.serve("host", tcp=[80], udp=[80, 81])
    machine.traffic.serve("host", tcp=[80], udp=[80], ipv6=True)
    machine.run("nft", "-f", "-", input=_SILENCES)
    attempts = [
        Attempt("outside", HOST_ADDRESS, "tcp", 80),
        Attempt("outside", HOST_ADDRESS6, "tcp", 80),
        Attempt("outside", HOST_ADDRESS, "udp", 80),
        Attempt("outside", HOST_ADDRESS6, "udp", 80),
        Attempt("outside", HOST_ADDRESS, "ping"),
        Attempt("outside", HOST_ADDRESS6, "ping"),
        Attempt("outside", HOST_ADDRESS, "tcp", 82),
        Attempt("outside", HOST_ADDRESS, "tcp", 83),
        Attempt("outside", HOST_ADDRESS, "udp", 81),
    ]
    found = machine.traffic.probe(attempts, within=0.5)
    assert [each.answered for each in found] == [True] * 6 + [False] * 3
    assert found[0].seen_as == OUTSIDE_ADDRESS
    assert [each.error for each in found[6:]] == ["ECONNREFUSED", None, None]
    assert [each.arrived for each in found[6:]] == [False, False, True]


# Port 83 is dropped on its way in, answers from port 81 on their way out.
_SILENCES = """
table inet silence {
    chain in { type filter hook input priority 0; tcp dport 83 drop; }
    chain out { type filter hook output priority 0; udp sport 81 drop; }
}
"""


def test_streams_notice_an_interruption(machine: Machine) -> None:
    """What is lost is counted, and the pause is as long as it was."""
    machine.traffic.serve("host", tcp=[80], udp=[80])
    to_host = {"source": "outside", "target": HOST_ADDRESS, "port": 80}
    kinds = ["udp", "session", "download"]
    streams = [machine.traffic.start_stream(kind, rate=100, **to_host) for kind in kinds]
    machine.traffic.await_progress(streams)
    machine.run("sh", "-c", "ip link set eth0 down; sleep 0.3; ip link set eth0 up")
    machine.traffic.await_progress(streams[:1])
    datagrams, session, download = (machine.traffic.stop_stream(stream) for stream in streams)
    assert datagrams["sent"] > datagrams["received"] > 0
    assert datagrams["lost"] == datagrams["sent"] - datagrams["received"]
    assert datagrams["longest_gap_ms"] > 300
    assert session["ended"] is None
    assert download["received"] > 0


def test_a_stopped_workload_is_really_gone(machine: Machine) -> None:
    """No socket of ours keeps its namespace, and so its links, alive."""
    machine.do("add_namespace", name="web")
    machine.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", "web")
    machine.traffic.serve("web", tcp=[80], udp=[80])
    machine.do("delete_namespace", name="web")
    wait_until(
        lambda: machine.run("ip", "link", "show", "v0", check=False).returncode != 0,
        "the veth went with its namespace",
    )


def test_every_process_ends_with_it(machine: Machine) -> None:
    """Also one that ignores signals and one that left its session."""
    stubborn = machine.start("sh", "-c", "trap '' TERM HUP INT; setsid sleep 100 & sleep 100")
    assert os.path.exists(f"/proc/{stubborn.pid}")
    assert len(machine.processes()) > 2
    machine.close()
    assert machine.processes() == []
    assert stubborn.wait(5) != 0


def test_nothing_outlives_a_killed_test_run() -> None:
    """A host whose owner gets SIGKILL goes by itself."""
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert owner.stdout is not None
    first = int(owner.stdout.readline())
    spaces = set(leftovers.namespaces_of(first).values())
    spaces -= set(leftovers.namespaces_of("self").values())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not leftovers.processes_in(spaces), "the host went with its owner")


_OWNER = """
import time
from tests.support.machine import Machine
machine = Machine()
machine.start("sleep", "1000")
print(machine.pid, flush=True)
time.sleep(1000)
"""
