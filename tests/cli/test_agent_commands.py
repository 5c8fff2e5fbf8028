"""`volt agent run|check|reset`: where they find the agent's files, and what they do without one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.conftest import Volt
from tests.control.rig import Rig
from volt_agent.control.messages.agent import ResetReport
from volt_agent.options import AgentOptions

GOOD = "network: {mtu: 1400}\n"
BAD = "network: {mtu: -1, bridge: x}\n"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[AgentOptions]:
    """Stands in for the agent: remembers how it was started, and ends with status 7."""
    started: list[AgentOptions] = []

    def run(options: AgentOptions) -> int:
        started.append(options)
        return 7

    stand_in = ModuleType("volt_agent.agent")
    stand_in.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "volt_agent.agent", stand_in)
    monkeypatch.setattr("volt_agent.agent", stand_in, raising=False)
    for variable in ("VOLT_CONFIG", "VOLT_STATE_DIR", "VOLT_SOCKET"):
        monkeypatch.delenv(variable, raising=False)
    return started


def test_run_passes_its_status_on(volt: Volt, started: list[AgentOptions]) -> None:
    """The agent's exit status is the command's."""
    assert volt("agent", "run").status == 7


def test_run_takes_options(volt: Volt, started: list[AgentOptions]) -> None:
    """Paths and the level of the log."""
    volt(
        "agent", "run", "--config", "c", "--state-dir", "d", "--socket", "s", "--log-level", "error"
    )
    assert started == [
        AgentOptions(config="c", state_dir="d", socket="s", log_level="error", config_named=True)
    ]


@pytest.mark.parametrize(("flag", "level"), [("-v", "debug"), ("-q", "warning")])
def test_run_quietly_and_loudly(
    volt: Volt, started: list[AgentOptions], flag: str, level: str
) -> None:
    """The global options mean the log here."""
    volt(flag, "agent", "run")
    volt("agent", "run", flag)
    assert [each.log_level for each in started] == [level, level]


def test_check_a_good_file(volt: Volt, tmp_path: Path) -> None:
    """It says so, and nothing with -q."""
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    result = volt("agent", "check", "--config", str(path))
    assert (result.status, result.out, result.err) == (0, f"{path}: fine\n", "")
    assert volt("agent", "check", "-q", "--config", str(path)).out == ""


def test_check_names_every_mistake(volt: Volt, tmp_path: Path) -> None:
    """One line each, status 2."""
    path = tmp_path / "config.yaml"
    path.write_text(BAD)
    result = volt("agent", "check", "--config", str(path))
    assert (result.status, result.out) == (2, "")
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("config.yaml: network.") for line in lines)


def test_check_a_file_that_is_not_there(volt: Volt, tmp_path: Path) -> None:
    """A file that somebody names has to exist."""
    assert volt("agent", "check", "--config", str(tmp_path / "absent.yaml")).status == 2


def test_reset_without_an_agent(volt: Volt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does the work itself."""
    asked: list[tuple[Path, bool]] = []

    async def reset_without_agent(state_dir: Path, purge: bool) -> ResetReport:
        asked.append((state_dir, purge))
        return ResetReport(removed=["bridge volt0"], failed=["port vc-x: busy"])

    stand_in = ModuleType("volt_agent.removal")
    stand_in.reset_without_agent = reset_without_agent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "volt_agent.removal", stand_in)
    result = volt("--socket", "/nonexistent", "agent", "reset", "--purge", "--state-dir", "/x")
    assert asked == [(Path("/x"), True)]
    assert result.status == 1
    assert result.out == "removed bridge volt0\n"
    assert result.err == "error: could not remove: port vc-x: busy\n"


def test_reset_asks_a_running_agent(rig: Rig, volt: Volt) -> None:
    """Two must not tear down the same things."""
    assert volt("agent", "reset").status == 0
    assert [name for name, _ in rig.agent.calls] == ["agent.reset"]
