"""Errors as users see them: one line, a hint, an exit status, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Volt
from tests.control.rig import PATIENCE, Rig, wait_until
from volt_agent.cli.failures import as_volt_error
from volt_agent.errors import (
    AgentNotRunning,
    Failed,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    VoltError,
)
from volt_agent.events import NamesFlushed

VOLT = [sys.executable, "-m", "volt_agent.cli"]
SOURCES = str(Path(__file__).parents[2] / "src")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCES, **more}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("taken"), 1),
        (Failed("broken"), 1),
        (Forbidden("no"), 1),
        (Invalid("malformed"), 2),
        (NotFound("where?"), 3),
        (AgentNotRunning("nobody"), 4),
    ],
)
def test_exit_statuses(
    volt: Volt, monkeypatch: pytest.MonkeyPatch, error: VoltError, status: int
) -> None:
    """What the agent says decides the status."""

    async def handler(params: object) -> None:
        raise error

    with Rig({"ps": handler}) as rig:
        result = volt("--socket", rig.path, "ps")
    assert (result.status, result.out, result.err) == (status, "", f"error: {error.message}\n")


def test_no_agent(volt: Volt) -> None:
    """Status 4, the socket that was tried, and how to start an agent."""
    result = volt("--socket", "/nonexistent/agent.sock", "ps")
    assert result.status == 4
    assert result.err.splitlines() == [
        "error: no agent is running (nobody answers on /nonexistent/agent.sock)",
        "hint: start it: `volt agent run`, or the service that runs it here",
    ]


def test_what_the_agent_says_cannot_steer_the_terminal(volt: Volt) -> None:
    """Control characters in messages are shown as question marks."""

    async def handler(params: object) -> None:
        raise Refused("\x1b[2Jgone", "press \x07")

    with Rig({"ps": handler}) as rig:
        result = volt("--socket", rig.path, "ps")
    assert result.err == "error: ?[2Jgone\nhint: press ?\n"


def test_an_unexpected_failure_is_one_line(
    rig: Rig, volt: Volt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in volt itself is no traceback either, but says how to get one."""

    def broken(*args: object, **more: object) -> str:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("volt_agent.cli.output.table", broken)
    result = volt("ps")
    assert result.status == 1
    assert result.err.splitlines()[0] == (
        "error: unexpected failure: ZeroDivisionError: division by zero"
    )
    assert "Traceback" not in result.err
    monkeypatch.setenv("VOLT_DEBUG", "1")
    assert "Traceback" in volt("ps").err


def test_errors_of_the_system_are_in_words() -> None:
    """errno's text and the file, without the class."""
    error = as_volt_error(OSError(28, "No space left on device", "/var/x"))
    assert error.message == "No space left on device: /var/x"


def run_in_shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`line` with "$@" for volt."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *VOLT],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status", "err"),
    [
        ('"$@" ps > /dev/full', 1, "error: No space left on device\n"),
        ('"$@" ps >&-', 0, ""),
        ('"$@" nope 2>&-', 2, ""),
        ('"$@" net create "$(printf \'\\377\')"', 2, "error: the command line is not UTF-8\n"),
        (
            'PYTHONIOENCODING=ascii "$@" net delete \u00e9',
            3,
            "error: there is no network \\xe9\nhint: volt net list shows them\n",
        ),
    ],
)
def test_odd_surroundings(rig: Rig, line: str, status: int, err: str) -> None:
    """Full disks, closed streams, bytes that are no text: never a traceback."""
    done = run_in_shell(line, VOLT_SOCKET=rig.path)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", err)


def test_nobody_reads_the_output(rig: Rig) -> None:
    """`volt ps | head -0`: silent, and the status of a program that died of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*VOLT, "ps"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(VOLT_SOCKET=rig.path),
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupted(rig: Rig) -> None:
    """Ctrl-C while waiting for events: silent, status 130."""
    process = subprocess.Popen(
        [*VOLT, "events", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(VOLT_SOCKET=rig.path),
    )
    wait_until(lambda: rig.connected() == 1, "it follows")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    # In the midst of an import Python lets the signal itself end it, which shells show as 130, too.
    assert process.returncode in (130, -signal.SIGINT)
    assert (out, err) == (b"", b"")


def test_interrupted_after_the_first_event(rig: Rig) -> None:
    """The same once the stream flows: there the interrupt comes out of a task group."""
    process = subprocess.Popen(
        [*VOLT, "events", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(VOLT_SOCKET=rig.path),
    )
    rig.publish(NamesFlushed(entries=7))
    assert process.stdout is not None
    assert b"entries=7" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_interrupted_while_waiting_for_an_answer() -> None:
    """The same for a plain call."""
    import asyncio
    import threading

    begun, go_on = threading.Event(), threading.Event()

    async def slow(params: object) -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, PATIENCE)

    with Rig({"ps": slow}) as rig:
        process = subprocess.Popen(
            [*VOLT, "ps"], stderr=subprocess.PIPE, env=environment(VOLT_SOCKET=rig.path)
        )
        assert begun.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        go_on.set()
    assert (process.returncode, err) == (130, b"")


def test_a_group_is_told_as_its_first_failure() -> None:
    """Task groups wrap what ends them; the wrapping says nothing to a user."""
    inner = ExceptionGroup("tasks", [ZeroDivisionError("no zero"), KeyError("x")])
    told = as_volt_error(ExceptionGroup("tasks", [inner]))
    assert told.message == "unexpected failure: ZeroDivisionError: no zero"
    refused = as_volt_error(ExceptionGroup("tasks", [PermissionError(13, "no", "/run/x")]))
    assert refused.message == "no: /run/x"
