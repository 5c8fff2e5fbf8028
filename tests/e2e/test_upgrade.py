"""`volt agent upgrade`: a new version takes over and nobody notices, or nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import make_pair
from tests.e2e.test_restart import start_streams, stop_streams
from tests.support.host import HOST_ADDRESS, Host, RpcError
from tests.support.kernel_objects import identities
from tests.support.process import wait_until
from tests.support.service import Service
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

UPGRADES = 2
NOT_UPGRADED = "error: not upgraded, the agent goes on as before: the new version "

# What the installed program does instead, from its first line on; "volt" stands for volt's own.
BROKEN = {
    "crashes": ("raise SystemExit('out of luck')", "ended with status 1: out of luck"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    "hangs": ("import time; time.sleep(1000)", "was not ready within 1 s"),
    "has another store": (
        "import volt_agent.store.database as store; store.VERSION = 9; volt()",
        "refuses: state.db has version 1, and volt 0.1.0 knows version 9 only",
    ),
    "lost a kind of object": (
        "from volt_agent.store import codec; del codec.KINDS['Network']; volt()",
        "refuses: volt 0.1.0 does not understand state.db: 'Network' is not a kind of object",
    ),
    "speaks differently": (
        "from volt_agent.handover import message; message.VERSION = 9; volt()",
        "is not understood: it speaks version 9 of the hand-over, this agent version 1",
    ),
    "dies on taking over": (
        "import os; from volt_agent.agent import Agent\n"
        "Agent._start_kernel = lambda *_: os._exit(3)\nvolt()",
        "ended early",
    ),
    "dies before it serves": (
        "import os; from volt_agent.agent import Agent\n"
        "Agent._say_ready = lambda *_: os._exit(3)\nvolt()",
        "ended early",
    ),
    "hangs on taking over": (
        "import time; from volt_agent.agent import Agent\n"
        "Agent._say_ready = lambda *_: time.sleep(1000)\nvolt()",
        "was not ready within 5 s",
    ),
}
# Tried every time: the others take long, or fail at the same place as one of these.
USUAL = {"crashes", "hangs", "has another store", "dies before it serves"}
PATIENT = "from volt_agent.handover import incumbent; incumbent.START_WAIT = 5.0; volt()"


def install(host: Host, program: str) -> None:
    """Have `volt agent run` do this from its next start on; commands work as before."""
    path = host.path(Path(host.agent_command[0]))
    interpreter = path.read_text().splitlines()[0]
    text = "\n".join(f"    {line}" for line in program.splitlines())
    path.write_text(
        f"{interpreter}\nimport sys\n"
        "def volt():\n    from volt_agent.cli import main\n    sys.exit(main())\n"
        f"if sys.argv[1:3] == ['agent', 'run']:\n{text}\nelse:\n    volt()\n"
    )


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """A host with two workloads, whose agent has patience for 5 s with a successor that starts."""
    with Host() as host:
        install(host, PATIENT)
        host.start_agent()
        make_pair(host)
        yield host


def status(host: Host) -> tuple[int, int]:
    """Generation and process of the agent."""
    found = host.call("status")
    return found["generation"], found["pid"]


def takes_changes(host: Host) -> None:
    """A network with a workload that starts: links, firewall, names, and all of it gone again."""
    host.call("net.create", name="fresh", subnet="10.40.0.0/24")
    host.connect("fresh", "newcomer")
    host.traffic.await_name("newcomer", "10.40.0.1", "newcomer", host.address_of("newcomer"))
    host.remove_workload("newcomer")
    host.call("net.disconnect", workload="newcomer")
    host.call("net.delete", name="fresh")


def test_an_upgrade_loses_nothing(host: Host) -> None:
    """Under load: no packet, question, request or tunnel is lost; every kernel object stays."""
    host.start_agent()
    make_pair(host)
    servers = Web(host, "serve", "web:8080", "db:8080")
    host.call("ingress.create", name="app", backends=["web:8080", "db:8080"])
    wait_until(lambda: " 200 " in get(host, "app.example.com"), "the route serves")
    before = identities(host)
    load = Web(host, "load", f"{HOST_ADDRESS}:80", "20", "20", "app.example.com", where="outside")
    datagrams, questions = start_streams(host)
    for generation in range(2, UPGRADES + 2):
        host.volt("agent", "upgrade")
        assert status(host)[0] == generation
    sent, asked = stop_streams(host, datagrams, questions)
    report = load.stop()
    servers.stop()
    assert sent["lost"] == 0, sent
    assert (asked["lost"], asked["wrong"]) == (0, 0), asked
    assert report.keys() == {"200", "tunnels"}, (report, host.agent_log())
    assert report["tunnels"] == 20
    assert identities(host) == before


def test_the_new_agent_is_a_whole_one(site: Host) -> None:
    """It takes changes, keeps them, says how it came about, and is upgraded itself."""
    generation, pid = status(site)
    printed = site.volt("agent", "upgrade").stdout
    assert f"generation {generation + 1}" in printed
    assert status(site)[1] != pid
    assert "took over with" in site.volt("status").stdout
    site.call("net.create", name="kept", subnet="10.50.0.0/24")
    takes_changes(site)
    site.volt("agent", "upgrade")
    assert "kept" in {each["name"] for each in site.call("net.list")}
    site.call("net.delete", name="kept")


def test_if_newer_only(site: Host) -> None:
    """Where what is installed is what runs, nothing happens."""
    before = status(site)
    assert "is what runs" in site.volt("agent", "upgrade", "--if-newer").stdout
    assert status(site) == before


@pytest.mark.parametrize(
    "how",
    [each if each in USUAL else pytest.param(each, marks=pytest.mark.long) for each in BROKEN],
)
def test_a_new_version_that_fails(site: Host, how: str) -> None:
    """The old one says why in one line, and goes on: names, leases, changes."""
    program, reason = BROKEN[how]
    before = status(site)
    install(site, program)
    datagrams, questions = start_streams(site)
    done = site.volt("agent", "upgrade", "--timeout", "1" if how == "hangs" else "60", check=False)
    install(site, PATIENT)
    sent, asked = stop_streams(site, datagrams, questions)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(NOT_UPGRADED + reason), done.stderr
    assert status(site) == before
    assert (sent["lost"], asked["lost"], asked["wrong"]) == (0, 0, 0), (sent, asked)
    takes_changes(site)


def test_a_broken_configuration(site: Host) -> None:
    """The new version would refuse it: the old one goes on, and names the mistake."""
    before, place = status(site), site.path(Path("/run/host/config.yaml"))
    present = place.read_text()
    place.write_text("network: {mtu: huge}\n")
    done = site.volt("agent", "upgrade", check=False)
    place.write_text(present)
    assert done.returncode == 1
    assert "network.mtu" in done.stderr.splitlines()[0]
    assert status(site) == before


def test_two_at_once(site: Host) -> None:
    """The second one is refused, and the first one goes through."""
    generation, _ = status(site)
    site.run("sh", "-c", f"{site.room}/bin/volt agent upgrade & sleep 0.01; wait")
    assert status(site)[0] == generation + 1
    with pytest.raises(RpcError):
        site.call("agent.upgrade", timeout=-1)


def test_the_service_manager_follows(host: Host) -> None:
    """MAINPID leads to the new process; sockets stay kept, and a crash of it loses no question."""
    service = Service(host, *host.agent_command)
    try:
        first = service.order("start")
        make_pair(host)
        datagrams, questions = start_streams(host)
        host.volt("agent", "upgrade")
        wait_until(lambda: service.order("state")["pid"] == status(host)[1], "it follows")
        upgraded = service.order("state")
        assert upgraded["pid"] != first["pid"]
        service.order("kill")
        service.order("start")
        sent, asked = stop_streams(host, datagrams, questions)
        assert sent["lost"] == 0, sent
        assert (asked["lost"], asked["wrong"]) == (0, 0), (asked, upgraded, host.agent_log())
    finally:
        service.close()
