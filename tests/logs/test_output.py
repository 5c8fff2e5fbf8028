"""A log that nobody reads stops nobody, and the last words are written."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

import volt_agent
from volt_agent.errors import Invalid
from volt_agent.logs import fields, setup
from volt_agent.logs.output import Output

SOURCE = Path(volt_agent.__file__).parents[1]
PATIENCE = 60  # seconds; with nobody who reads it takes FLUSH_SECONDS and a start of Python
log = logging.getLogger("volt_agent.dns.forward")


@pytest.fixture
def outputs() -> Iterator[ExitStack]:
    """Closes handlers at the end and puts the levels back."""
    levels = [(each, each.level) for each in (logging.getLogger(), logging.getLogger("volt_agent"))]
    with ExitStack() as stack:
        yield stack
    for logger, level in levels:
        logger.setLevel(level)


def test_levels(outputs: ExitStack) -> None:
    """volt's records from the wanted level on, libraries' from warnings on."""
    stream = io.StringIO()
    output = setup("info", stream)
    outputs.callback(output.close)
    log.debug("volt debug")
    log.info("volt info")
    logging.getLogger("asyncio").info("library info")
    logging.getLogger("asyncio").warning("library warning")
    output.flush()
    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == ["volt info", "library warning"]


def test_an_unknown_level_is_refused() -> None:
    """The refusal names the levels there are."""
    with pytest.raises(Invalid, match="'loud' is unknown") as raised:
        setup("loud", io.StringIO())
    assert "debug, info, warning, error" in str(raised.value.hint)


def test_setting_up_again_replaces(outputs: ExitStack) -> None:
    """A second setup takes over; no line is written twice."""
    first, second = io.StringIO(), io.StringIO()
    setup("info", first)
    output = setup("info", second)
    outputs.callback(output.close)
    log.info("once")
    output.flush()
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_a_terminal_gets_text(outputs: ExitStack) -> None:
    """What a person looks at is not JSON."""
    here, there = pty.openpty()
    outputs.callback(os.close, here)
    with open(there, "w") as terminal:
        output = setup("info", terminal)
        log.info("hello", extra=fields(who="world"))
        output.close()
        assert b"dns.forward: hello who=world" in os.read(here, 1000)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_does_not_read_stops_nobody(outputs: ExitStack, blocking: bool) -> None:
    """With the pipe full, logging goes on at once; later all lines come, and how many did not."""
    reading, writing = os.pipe()
    reader = outputs.enter_context(os.fdopen(reading, "rb"))
    filled = fill(writing)
    os.set_blocking(writing, blocking)
    with open(writing, "w") as pipe:
        output = setup("info", pipe)
        log.info("before")
        while "[0 lines waiting" not in repr(output):  # the thread has it, and waits for the reader
            time.sleep(0.001)
        for number in range(6_000):
            log.info("line", extra=fields(number=number, filling="x" * 1000))
        assert 1000 < output.lost < 5000  # it has come so far, and 4 MB wait
        lost = output.lost
        assert len(reader.read(filled)) == filled
        lines = [json.loads(reader.readline()) for _ in range(1 + 6_000 - lost)]
        log.info("after")
        rest = [json.loads(reader.readline()) for _ in range(2)]
        output.close()
    assert [each.get("number") for each in lines] == [None, *range(6_000 - lost)]
    assert {each["message"].split(":")[0] for each in rest} == {"after", "log lines were lost"}
    assert sum(each.get("lost", 0) for each in rest) == lost


def fill(writing: int) -> int:
    """Leave no room in a pipe; returns how many bytes it has taken."""
    os.set_blocking(writing, False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(writing, bytes(4096))
    return filled


def test_a_reader_that_is_gone(outputs: ExitStack) -> None:
    """A closed pipe costs lines and nothing else."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        output = setup("info", pipe)
        outputs.callback(output.close)
        log.info("nobody reads this")
        output.flush()
        assert output.lost == 1
        assert output._thread.is_alive()


def test_a_closed_output_ends_its_thread() -> None:
    """Nothing is left of a handler that was closed; closing twice is fine."""
    output = setup("info", io.StringIO())
    output.close()
    output.close()
    output._thread.join(PATIENCE)
    assert not output._thread.is_alive()
    assert output not in logging.getLogger().handlers


def run(program: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    begin = "import logging, os, sys, time\nfrom volt_agent.logs import setup\n"
    command = [sys.executable, "-c", begin + program]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, env=environment, timeout=PATIENCE, check=False, **options)


def test_the_last_words_are_written() -> None:
    """What was logged just before the end is on stderr when the process has ended."""
    program = "setup('info', sys.stderr)\nlogging.getLogger('volt_agent').info('bye')\n"
    done = run(program, stderr=subprocess.PIPE)
    assert done.returncode == 0
    assert json.loads(done.stderr)["message"] == "bye"


def test_a_full_pipe_does_not_keep_the_process(outputs: ExitStack) -> None:
    """The process ends after a second although its last words cannot be written, and cleanly."""
    reading, writing = os.pipe()
    outputs.callback(os.close, reading)
    outputs.callback(os.close, writing)
    program = (
        "setup('info', sys.stderr)\n"
        "for n in range(2000): logging.getLogger('volt_agent').info('x' * 200)\n"
    )
    done = run(program, stderr=writing)  # which waits PATIENCE at most
    assert done.returncode == 0


def test_the_handler_shows_its_state() -> None:
    """Its repr tells how far behind the reader is."""
    output = Output(lambda data: None)
    assert repr(output) == "<Output [0 lines waiting, 0 lost]>"
    output.close()
