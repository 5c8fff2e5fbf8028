"""The pages in docs/commands, made from the commands themselves: `make docs`.

One page for each group of commands, and volt.md for the commands of one word. A test compares them
with the commands, so none of them can fall behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from typer._click import Context

from scripts.man_pages import EXIT_STATUS, FILES, commands_below
from volt_agent.cli.command import GLOBAL_OPTIONS, Command, Group
from volt_agent.cli.root import ROOT

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Parameter

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "commands"


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of every page."""
    top = Context(ROOT, info_name="volt", help_option_names=["-h", "--help"])
    alone: list[tuple[str, AnyCommand]] = []
    for name in ROOT.list_commands(top):
        member = ROOT.get_command(top, name)
        assert member is not None
        if isinstance(member, Group):
            text = [f"# volt {name}", "", member.help or "", *_commands(member, name, top)]
            yield f"{name}.md", "\n".join(text) + "\n"
        else:
            alone.append((name, member))
    yield "volt.md", "\n".join(_volt(top, alone)) + "\n"


def _volt(top: Context, alone: list[tuple[str, AnyCommand]]) -> Iterator[str]:
    yield from ("# volt", "", ROOT.help or "")
    for name, member in alone:
        yield from _commands(member, name, top)
    yield from ("", "## Options of every command", "")
    yield from _rows([each for each in ROOT.get_params(top) if _is_global(each)], top)
    for title, facts in (("Exit status", EXIT_STATUS), ("Files", FILES)):
        yield from ("", f"## {title}", "")
        yield from (f"- `{term}`: {meaning}" for term, meaning in facts)


def _commands(member: AnyCommand, name: str, top: Context) -> Iterator[str]:
    for command, context in commands_below(member, name, top):
        yield from _command(command, context)


def _command(command: Command, context: Context) -> Iterator[str]:
    yield from ("", f"## {context.command_path}", "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{context.command_path} {usage}`"
    for paragraph in (command.help or "").split("\n\n"):
        yield from ("", " ".join(paragraph.split()))
    own = [*_rows([each for each in command.get_params(context) if not _is_help(each)], context)]
    yield from ["", *own] if own else []
    if command.examples:
        yield from ("", "```sh", *command.examples, "```")


def _rows(params: list[Parameter], context: Context) -> Iterator[str]:
    is_top = context.parent is None
    for param in params:
        record = param.get_help_record(context)
        if record is not None and (is_top or not _is_global(param)):
            term, meaning = record
            yield f"- `{term}`: {' '.join(meaning.split())}"


def _is_global(param: Parameter) -> bool:
    return getattr(param, "rich_help_panel", None) == GLOBAL_OPTIONS


def _is_help(param: Parameter) -> bool:
    """-h and -o say on every page what volt.md says once."""
    return bool({"--help", "--output"} & {*param.opts})


def main() -> int:
    """Write the pages, and take away those of groups that are gone."""
    found = dict(pages())
    for path in DIRECTORY.glob("*.md"):
        if path.name not in found:
            path.unlink()
    for name, text in found.items():
        (DIRECTORY / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
