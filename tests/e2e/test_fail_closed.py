"""A transaction that the kernel refuses: the command fails, and everything is as it was."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.host import Host
from tests.support.kernel_objects import rules as rules_of
from tests.support.machine import ROOM
from tests.support.process import Process, wait_until

from .conftest import make_pair

pytestmark = pytest.mark.kernel

REASON = "nftables refused the change: Cannot allocate memory"

# As a host has them: a rule, a policy and forwards, to be deleted in vain.
PRESENT = (
    "net firewall add --name r --source web --dest db --port 80 --proto tcp --action drop",
    "net firewall add --name to-host --source outside --dest host --port 9000 --action accept",
    "net policy create --name p --from web --to db --port 81 --action allow",
    "net port add --host-port 8080 --target web --target-port 80",
    "net port add --host-port 5300-5310 --target db --target-port 53 --proto udp",
)
REFUSED = (
    "net firewall add --name new --source web --dest db --port 82 --proto tcp --action reject",
    "net firewall add --name new --source any --dest 10.30.0.0/25 --action accept",
    "net firewall add --name new --source any --dest host --action drop --confirm 1s",
    "net firewall delete r",
    "net firewall delete to-host --confirm 1s",
    "net firewall flush",
    "net firewall flush --confirm 1s",
    "net policy create --name new --from db --to web --port 83 --action deny",
    "net policy create --name new --from db --to web --action allow",
    "net policy delete p",
    "net port add --host-port 8081 --target db --target-port 81",
    "net port add --host-port 9000-9031 --target db --target-port 9000",
    "net port delete --host-port 8080",
    "net port delete --host-port 5300-5310 --proto udp",
    "net create another --subnet 10.31.0.0/24",
    "net connect backend somebody",
    "net disconnect web",
)


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    with Host() as host:
        host.start_agent()
        make_pair(host)
        for command in PRESENT:
            host.volt(*command.split())
        wait_until(lambda: not host.call("net.status")["firewall"]["settling"], "settled")
        yield host


@contextmanager
def refused_transactions(host: Host) -> Iterator[None]:
    """Whatever the agent sends to nftables comes back with ENOMEM, as from a kernel without memory.

    A transaction is the one thing that its nftables thread sends with sendmsg().
    """
    log = ROOM / "nftables.log"
    thread = nftables_thread(host)
    tracer: Process = host.start(
        "strace", "-qq", "-o", str(log), "-p", inside(thread),
        "-e", "trace=sendmsg", "-e", "inject=sendmsg:error=ENOMEM",
    )  # fmt: skip
    try:
        wait_until(lambda: "TracerPid:\t0" not in status(thread), "strace is attached")
        yield
    finally:
        tracer.end(signal.SIGINT)
    assert "ENOMEM" in host.path(log).read_text(), "no transaction was refused"


def nftables_thread(host: Host) -> Path:
    assert host.agent is not None
    threads = Path(f"/proc/{host.agent.pid}/task").iterdir()
    return next(each for each in threads if (each / "comm").read_text().startswith("volt-nft-"))


def status(thread: Path) -> str:
    return (thread / "status").read_text()


def inside(thread: Path) -> str:
    """The number of a thread in its own pid namespace."""
    found = re.search(r"^NSpid:.*\t(\d+)$", status(thread), re.MULTILINE)
    assert found is not None
    return found[1]


def ruleset(host: Host) -> str:
    """Every byte of it, with the kernel's handles: all but what traffic counts."""
    text = host.run("nft", "--handle", "list", "ruleset").stdout
    return re.sub(r"packets \d+ bytes \d+", "", text)


def known(host: Host) -> dict[str, Any]:
    """What the agent knows of all that the commands are about; users' rules in their order."""
    rows = [row for row in host.call("net.firewall.list") if not row["builtin"]]
    found: dict[str, Any] = {"rules": without_counts(rows)}
    for name in ("net.list", "net.policy.list", "net.port.list", "ps"):
        found[name] = sorted(without_counts(host.call(name)), key=str)
    return found | {"unconfirmed": host.call("net.firewall.pending")["unconfirmed"]}


def without_counts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("packets", "bytes")} for row in rows]


def test_what_the_kernel_refuses_is_nowhere(site: Host) -> None:
    """One line with the reason and status 1; ruleset, agent and store have nothing of it."""
    rules, before = ruleset(site), known(site)
    with refused_transactions(site):
        for command in REFUSED:
            done = site.volt(*command.split(), check=False)
            assert (done.returncode, done.stdout) == (1, ""), command
            assert done.stderr.splitlines()[0] == f"error: {REASON}", command
            assert (ruleset(site), known(site)) == (rules, before), command
        assert not site.traffic.reaches("web", site.address_of("db"), port=80)
    site.stop_agent(signal.SIGKILL)
    assert ruleset(site) == rules
    site.start_agent()
    assert (ruleset(site), known(site)) == (rules, before)


def test_the_same_commands_work_when_the_kernel_does(site: Host) -> None:
    """They were in order: that they failed is the kernel's doing alone."""
    for command in REFUSED[:1] + REFUSED[3:4] + REFUSED[9:12]:
        site.volt(*command.split())
    names = [row["name"] for row in site.call("net.firewall.list") if not row["builtin"]]
    assert names == ["to-host", "new"]


def test_a_rollback_that_is_refused_is_insisted_on(running: Host) -> None:
    """The change stays whole, with its rule in force and in the list, until the kernel takes it."""
    command = "net firewall add --name lock-out --source any --dest host --action drop --confirm 4s"
    wait_until(lambda: not running.call("net.status")["firewall"]["settling"], "settled")
    shape = rules_of(running)
    running.volt(*command.split())
    rules = ruleset(running)
    assert rules_of(running) != shape
    with refused_transactions(running):
        told = "cannot roll back what was not confirmed (rule lock-out added): " + REASON
        wait_until(lambda: running.agent_log().count(told) >= 2, "it is tried again")
        assert ruleset(running) == rules
        assert running.call("net.firewall.pending")["unconfirmed"] is not None
    wait_until(lambda: running.events("rules.rolled-back"), "it is rolled back")
    assert "lock-out" not in running.volt("net", "firewall", "list").stdout
    assert rules_of(running) == shape


def test_a_kernel_that_refuses_the_first_ruleset_is_asked_again(running: Host) -> None:
    """While the default of a fresh start waits to come into force: the agent lives, rolls back what
    was not confirmed, and brings the default into force as soon as the kernel takes it."""

    def settling() -> bool:
        return bool(running.call("net.status")["firewall"]["settling"])

    command = "net firewall add --name lock-out --source any --dest host --action drop --confirm 1s"
    running.volt(*command.split())
    with refused_transactions(running):
        told = "the host's inbound default is not in force yet: " + REASON
        wait_until(lambda: told in running.agent_log() or not settling(), "it is refused")
    wait_until(lambda: running.events("rules.rolled-back"), "it is rolled back")
    wait_until(lambda: not settling(), "the default is in force")
