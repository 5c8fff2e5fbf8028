"""The top group, and `volt --version`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from msgspec import Struct

from .. import __version__
from ..errors import Invalid, VoltError
from .command import Group, option
from .session import Session

if TYPE_CHECKING:
    from typer._click import Context, Parameter

# Showing a version must not hang on an agent that does.
VERSION_TIMEOUT = 2.0


def run(args: Sequence[str] | None) -> None:
    """Run a command line (None: this process's). Raises what goes wrong; see `failures`."""
    session = Session()
    if "_VOLT_COMPLETE" in os.environ:
        from .complete import complete

        return complete(ROOT, session, os.environ)
    given = list(sys.argv[1:] if args is None else args)
    if not all(map(_is_text, given)):
        raise Invalid("the command line is not UTF-8")
    if given[:1] == ["help"]:  # as git, docker and kubectl have it
        given = [*given[1:], "--help"]
    with ROOT.make_context("volt", given, help_option_names=["-h", "--help"], obj=session) as ctx:
        ROOT.invoke(ctx)
    return None


def _is_text(arg: str) -> bool:
    """Bytes that are no UTF-8 come as lone surrogates (PEP 383), which JSON cannot carry."""
    return not any("\ud800" <= each <= "\udfff" for each in arg)


class _Versioned(Struct):
    """The part of /status that agents of all versions have."""

    version: str


def _show_version(ctx: Context, param: Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from ..control.client import decoded

    session: Session = ctx.obj
    session.write(f"volt {__version__}\n")
    try:
        running = decoded(session.client(VERSION_TIMEOUT).request("GET", "/status"), _Versioned)
    except VoltError as error:
        session.write(f"agent: {error.message}\n")
    else:
        session.write(f"agent {running.version}\n")
        if running.version != __version__:
            print("warning: the versions differ; restart the agent", file=session.err)
    raise typer.Exit


ROOT = Group(
    "volt",
    "Networks, names and firewall for the containers and virtual machines of this host.",
    package=__package__ or "volt_agent.cli",
    members=(
        "net",
        "ingress",
        "compose",
        "tune",
        "ps",
        "container",
        "status",
        "doctor",
        "events",
        "agent",
        "completion",
    ),
)
ROOT.params.append(
    option(
        ["--version"],
        "Show the versions of this program and of the agent.",
        _show_version,
        panel=None,
        is_flag=True,
    )
)
