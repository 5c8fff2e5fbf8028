"""One run of `volt`: what the global options said, where the agent is, how results are printed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO, TypeVar

from msgspec import Struct

from ..control.method import Method
from ..options import socket_candidates
from . import output
from .output import Column, Format

if TYPE_CHECKING:
    import typer

    from ..control.client import Client

P = TypeVar("P", bound=Struct)
R = TypeVar("R")
T = TypeVar("T")


class Session:
    """What a command works with. The global options write into it before the command runs.

    `quiet` prints only names in lists and nothing after changes; `verbose` tells on standard error
    what was asked and how long it took.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.environ = os.environ if environ is None else environ
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.socket: str | None = None
        self.format: Format = "table"
        self.quiet = False
        self.verbose = False

    @staticmethod
    def of(ctx: typer.Context) -> Session:
        """The session that the command of `ctx` runs in."""
        session = ctx.obj
        assert isinstance(session, Session)
        return session

    @property
    def colour(self) -> bool:
        """Whether the output is a terminal whose user did not refuse colours (no-color.org)."""
        refused = self.environ.get("NO_COLOR") or self.environ.get("TERM") == "dumb"
        return not refused and self.out.isatty()

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None where the output is none, and lines stay whole."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def client(self, timeout: float | None = None) -> Client:
        """A client of the agent; `timeout` in seconds, None: the usual one."""
        from ..control.client import TIMEOUT, Client  # `agent run` does without h11

        candidates = socket_candidates(self.environ, self.socket)
        return Client(candidates, TIMEOUT if timeout is None else timeout)

    def call(self, method: Method[P, R], params: P, timeout: float | None = None) -> R:
        """Make a call that may take `timeout` seconds (None: as usual).

        Raises the agent's VoltError, AgentNotRunning or Forbidden.
        """
        from ..control.client import decoded

        answer = self.client(timeout).ask(method, params)
        if self.verbose:
            taken = f"{answer.seconds * 1e3:.1f} ms"
            print(f"{method.name}: {answer.status} in {taken}", file=self.err)
        return decoded(answer, method.result)

    def table(self, rows: list[T], columns: Sequence[Column[T]]) -> None:
        """Print objects; with `quiet` only the first column, without a header."""
        if self.format != "table":
            self._dump(rows)
        elif self.quiet:
            self.write("".join(output.cell(columns[0][1](row)) + "\n" for row in rows))
        else:
            self.write(output.table(rows, columns, colour=self.colour))

    def show(self, value: object, text: Callable[[], str]) -> None:
        """Print one object; `text` makes the form for people."""
        if self.format != "table":
            self._dump(value)
        else:
            self.write(text())

    def done(self, value: object, message: str) -> None:
        """Report a change: its result for programs, `message` for people who are not quiet."""
        if self.format != "table" or not self.quiet:
            self.show(value, lambda: output.lines(message.splitlines()))

    def write(self, text: str) -> None:
        self.out.write(text)

    def _dump(self, value: object) -> None:
        self.write(output.as_json(value) if self.format == "json" else output.as_yaml(value))
