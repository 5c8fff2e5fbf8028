"""A command is fast because it imports little, and names are back soon after a restart."""

from __future__ import annotations

import resource
import subprocess
import sys

from tests.cli.test_failures import VOLT, environment
from tests.control.rig import Rig

DEAR = {"rich", "pydantic", "pyroute2", "asyncio", "anyio", "trio", "yaml", "prometheus_client"}
REPORT = (
    "import sys; from volt_agent.cli import main; status = main(['net', 'list']);"
    "print('\\n'.join(sys.modules), file=sys.stderr); sys.exit(status)"
)

# What the agent loads once names are answered.
LATER = {"h11", "wsproto", "pyroute2", "prometheus_client", "cryptography", "acme", "aiodns"}
LATER_OF_OURS = {"ingress.server", "control_plane", "control.server", "removal", "tune"}


def test_nobody_waits_for_a_name_while_other_parts_are_loaded() -> None:
    """What the agent imports before it starts: neither the ingress nor what answers commands."""
    report = "import sys, volt_agent.cli.agent.run, volt_agent.agent; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", report],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    assert {each.partition(".")[0] for each in imported} & LATER == set()
    assert imported & {f"volt_agent.{each}" for each in LATER_OF_OURS} == set()


def test_net_list_imports_nothing_dear(rig: Rig) -> None:
    """None of the libraries that cost more than the whole command, and no other command."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        env=environment(VOLT_SOCKET=rig.path),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stderr.split())
    assert {each.partition(".")[0] for each in imported} & DEAR == set()
    ours = {each.removeprefix("volt_agent.") for each in imported if "volt_agent." in each}
    assert {each for each in ours if each.startswith("cli.net.")} == {"cli.net.list"}
    assert {each for each in ours if each.startswith("control.messages.")} == {
        "control.messages.network"
    }


def test_net_list_costs_little(rig: Rig) -> None:
    """A guard at ten times what it should be: 9 times `python3 -c pass`, see the benchmarks."""
    env = environment(VOLT_SOCKET=rig.path)
    bare = min(cpu_seconds([sys.executable, "-c", "pass"], env) for _ in range(5))
    command = min(cpu_seconds([*VOLT, "net", "list"], env) for _ in range(5))
    assert command / bare < 90


def cpu_seconds(command: list[str], env: dict[str, str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
