"""Completion: scripts that shells accept, and candidates from the agent."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Volt
from tests.cli.test_failures import SOURCES, VOLT, environment
from tests.control.rig import Rig

Complete = Callable[[str, str], list[str]]


@pytest.fixture
def complete(volt: Volt, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What `volt` offers a shell for the last of some words, with descriptions where it has any."""

    def run(shell: str, words: str) -> list[str]:
        place = words.rsplit(" ", 1)[-1] if shell == "fish" else str(words.count(" "))
        monkeypatch.setenv("_VOLT_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", place)
        result = volt()
        assert (result.status, result.err) == (0, "")
        return result.out.splitlines()

    return run


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("volt n", ["net"]),
        ("volt net dis", ["disconnect"]),
        ("volt net bridge ", ["create", "delete", "list"]),
        ("volt net create --sub", ["--subnet"]),
        ("volt net inspect ", ["volt0", "backend"]),
        ("volt net inspect b", ["backend"]),
        ("volt net connect backend ", ["api-server", "db-primary", "later"]),
        ("volt net disconnect web --network ", ["volt0", "backend"]),
        ("volt net connect a b --kind ", ["container", "vm"]),
        ("volt ps -o ", ["table", "json", "yaml"]),
        ("volt ps -o j", ["json"]),
        ("volt completion ", ["bash", "zsh", "fish"]),
        ("volt container inspect d", ["db-primary"]),
        ("volt xyzzy ", []),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_candidates(
    rig: Rig, complete: Complete, shell: str, words: str, offered: list[str]
) -> None:
    """Commands, options, values and names, the same in every shell."""
    separator = "\t" if shell == "fish" else ":"
    assert [each.partition(separator)[0] for each in complete(shell, words)] == offered


def test_descriptions(complete: Complete) -> None:
    """zsh and fish show what a command does; bash has no room for it."""
    line = "Create a network: a bridge with a subnet, NAT and names."
    assert complete("zsh", "volt net cr") == [f"create:{line}"]
    assert complete("fish", "volt net cr") == [f"create\t{line}"]
    assert complete("bash", "volt net cr") == ["create"]


def test_names_of_the_agent_that_is_meant(
    rig: Rig, complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--socket on the line to be completed counts."""
    monkeypatch.setenv("VOLT_SOCKET", "/nonexistent")
    assert complete("bash", f"volt --socket {rig.path} net inspect b") == ["backend"]


def test_without_an_agent_there_are_no_names(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no errors in the middle of somebody's prompt."""
    monkeypatch.setenv("VOLT_SOCKET", "/nonexistent")
    assert complete("bash", "volt net inspect ") == []


def test_completion_imports_nothing_dear(rig: Rig) -> None:
    """typer's own completion renders with rich; a key press must not wait for that."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *VOLT[1:]],
        env=environment(
            _VOLT_COMPLETE="complete_zsh", COMP_WORDS="volt net inspect ", COMP_CWORD="3",
            VOLT_SOCKET=rig.path,
        ),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"rich", "asyncio", "pydantic"}


BASH = """
source <("$1" completion bash)
COMP_WORDS=(volt net inspect b) COMP_CWORD=3
_volt_completion "$1"
printf '%s\\n' "${COMPREPLY[@]}"
complete -p volt
"""
ZSH = """
compdef() { :; }
_files() { print FILES; }
_describe() { print -l -- "${(@P)2}"; }
source =("$1" completion zsh)
words=("$1" net inspect b) CURRENT=4
_volt
"""
FISH = """
$argv[1] completion fish | source
complete --do-complete 'volt net inspect b'
"""


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)], ids=["bash", "zsh", "fish"]
)
def test_in_the_shell_itself(rig: Rig, tmp_path: Path, shell: str, script: str) -> None:
    """The script that is printed works in that shell."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "volt"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m volt_agent.cli "$@"\n')
    program.chmod(stat.S_IRWXU)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", script, *([] if shell == "fish" else [shell]), str(program)],
        env={**environment(VOLT_SOCKET=rig.path), "PATH": path, "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("backend")


def test_an_unknown_shell_is_refused(volt: Volt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is somebody's mistake."""
    monkeypatch.setenv("_VOLT_COMPLETE", "complete_tcsh")
    result = volt()
    assert result.status == 2
    assert "no such shell: tcsh" in result.err


def test_the_scripts_name_nothing_of_this_machine(volt: Volt) -> None:
    """They can be packaged."""
    for shell in ("bash", "zsh", "fish"):
        script = volt("completion", shell).out
        assert SOURCES not in script
        assert "volt" in script
