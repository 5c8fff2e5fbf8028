"""The manual pages, made from the commands themselves: `python scripts/man_pages.py DIRECTORY`.

volt(1), and volt-GROUP(1) for each word that may follow `volt`, in the language of man(7).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from typer._click import Context

from volt_agent import __version__
from volt_agent.cli.command import GLOBAL_OPTIONS, Command, Group
from volt_agent.cli.root import ROOT

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand

FILES = (
    ("/etc/volt/config.yaml", "The configuration; without it the defaults hold."),
    ("/var/lib/volt/", "What was asked for: networks, connections, rules, routes."),
    ("/run/volt/agent.sock", "The control socket, for root and the group volt."),
)
EXIT_STATUS = (
    ("0", "Done."),
    ("1", "Refused, or failed."),
    ("2", "Wrong usage, or a wrong configuration."),
    ("3", "There is no such network, workload, rule, policy, forward, route or certificate."),
    ("4", "The agent is not running."),
    ("5", "`volt net policy test` says DENIED."),
)


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of every page."""
    top = Context(ROOT, info_name="volt", help_option_names=["-h", "--help"])
    names = ROOT.list_commands(top)
    yield "volt.1", "\n".join(_volt(top, names)) + "\n"
    for name in names:
        member = ROOT.get_command(top, name)
        assert member is not None
        yield f"volt-{name}.1", "\n".join(_member(member, name, top)) + "\n"


def _volt(top: Context, names: list[str]) -> Iterator[str]:
    yield from _head("volt", ROOT)
    yield from (".SH SYNOPSIS", ".B volt", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield ".SH DESCRIPTION"
    yield _text(ROOT.help or "")
    yield ".SH COMMANDS"
    for name in names:
        member = ROOT.get_command(top, name)
        assert member is not None
        yield from _item(f"volt-{name}(1)", member.get_short_help_str(200))
    yield ".SH OPTIONS"
    yield from _options(ROOT, top, everything=True)
    for title, rows in (("FILES", FILES), ("EXIT STATUS", EXIT_STATUS)):
        yield f".SH {title}"
        for term, meaning in rows:
            yield from _item(term, meaning)


def _member(member: AnyCommand, name: str, top: Context) -> Iterator[str]:
    yield from _head(f"volt-{name}", member)
    yield ".SH COMMANDS" if isinstance(member, Group) else ".SH DESCRIPTION"
    for command, context in commands_below(member, name, top):
        yield from _command(command, context)
    yield ".SH SEE ALSO"
    yield "volt(1), for the options that every command takes, and the exit status"


def commands_below(
    member: AnyCommand, name: str, top: Context
) -> Iterator[tuple[Command, Context]]:
    """Every command below `member`, itself included."""
    context = Context(member, info_name=name, parent=top)
    if isinstance(member, Group):
        for each in member.list_commands(context):
            found = member.get_command(context, each)
            assert found is not None
            yield from commands_below(found, each, context)
    else:
        assert isinstance(member, Command)
        yield member, context


def _command(command: Command, context: Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_text(f'{context.command_path} {usage}')}"
    for number, paragraph in enumerate((command.help or "").split("\n\n")):
        yield from ([".PP"] if number else [])
        yield _text(" ".join(paragraph.split()))
    yield from _options(command, context)
    if command.examples:
        yield from (".PP", "Examples:", ".PP", ".nf", ".RS")
        yield from (_text(each) for each in command.examples)
        yield from (".RE", ".fi")


def _options(command: AnyCommand, context: Context, *, everything: bool = False) -> Iterator[str]:
    for param in command.get_params(context):
        is_global = getattr(param, "rich_help_panel", None) == GLOBAL_OPTIONS
        record = param.get_help_record(context)
        if record is not None and (everything or not is_global):
            yield from _item(*record)


def _head(name: str, command: AnyCommand) -> Iterator[str]:
    yield f'.TH {name.upper()} 1 "" "volt {__version__}" "User Commands"'
    yield ".SH NAME"
    yield _text(f"{name} - {command.get_short_help_str(200).rstrip('.')}")


def _item(term: str, meaning: str) -> Iterator[str]:
    yield from (".TP", rf"\fB{_text(term)}\fR", _text(" ".join(meaning.split())))


def _text(text: str) -> str:
    """Literal text: a backslash, a leading dot or quote and a hyphen mean something to roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(rf"\&{each}" if each[:1] in ".'" else each for each in escaped.split("\n"))


def main() -> int:
    """Write the pages into the directory that the command line names."""
    directory = Path(sys.argv[1])
    for name, text in pages():
        (directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
