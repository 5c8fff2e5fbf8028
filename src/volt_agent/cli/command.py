"""How commands and groups are made.

`@command` turns a function into a COMMAND: its parameters are the message, its docstring the help.
`Group` imports a member when it is asked for. Both take the global options at any place: `volt
--socket S net list` and `volt net list --socket S` are the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from ..errors import Invalid
from .output import FORMATS
from .session import Session

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter, Parameter

GLOBAL_OPTIONS = "Global options"
# What docker and ip call it: these do the same, without being listed.
SHORT_WORDS: Mapping[str, str] = {"ls": "list", "rm": "delete"}
# What other tools call it: the hint names our word, where the group has it.
FOREIGN_WORDS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("remove", "del", "destroy", "drop"), ("delete",)),
    **dict.fromkeys(("show", "get", "describe", "info"), ("inspect", "list", "status")),
    **dict.fromkeys(("add", "new", "insert", "append"), ("create", "add", "connect")),
    "create": ("add",),
    "attach": ("connect",),
    "detach": ("disconnect",),
    "clear": ("flush",),
    "check": ("test",),
}


class Command(TyperCommand):
    """One command. `examples` are shown at the end of its help."""

    examples: Sequence[str] = ()

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """What is required as it is typed, the rest in brackets."""
        pieces = ["[OPTIONS]"]
        for param in self.get_params(ctx):
            if param.param_type_name == "argument":
                pieces.append(str(param.metavar) if param.required else f"[{param.metavar}]")
            elif param.required:
                pieces.append(f"{param.opts[0]} {param.metavar}")
        return pieces

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        _format_options(self, ctx, formatter)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Group(TyperGroup):
    """A group of commands. `members` are in modules of those names in `package`.

    The module of a member is imported when that member is asked for, and defines COMMAND.
    """

    def __init__(
        self,
        name: str,
        help: str,
        *,
        package: str = "",
        members: Sequence[str] = (),
        commands: Sequence[AnyCommand] = (),
    ) -> None:
        super().__init__(
            name=name,
            help=help,
            short_help=help,
            commands=list(commands),
            params=[_format_option(GLOBAL_OPTIONS), *global_options()],
            rich_markup_mode=None,
        )
        self._package = package
        self._members = tuple(members)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """A group alone is a question: the answer is its help, the status that of a wrong usage."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(Invalid.exit_status)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Context) -> list[str]:
        return [*self._members, *self.commands]

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:
        if cmd_name not in self._members:
            return self.commands.get(cmd_name)
        module = importlib.import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        return cast("AnyCommand", module.COMMAND)

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, AnyCommand | None, list[str]]:
        known = self.list_commands(ctx)
        word = args[0]
        full = SHORT_WORDS.get(word, word)
        if word in known or word.startswith("-"):
            return super().resolve_command(ctx, args)
        if full in known:
            return super().resolve_command(ctx, [full, *args[1:]])
        message = f"there is no command {word!r} in `{ctx.command_path}`"
        raise Invalid(message, _what_was_meant(word, ctx, known))

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _format_options(self, ctx, formatter)


def command(
    name: str, *, examples: Sequence[str] = (), prints: bool = True
) -> Callable[[Callable[..., None]], Command]:
    """Make a Command `name` of a function. With `prints` it takes `-o`: it shows objects."""

    def make(function: Callable[..., None]) -> Command:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Command)(function)
        made = cast("Command", get_command(app))
        made.examples = examples
        # In lists of commands: the whole first line, where typer would cut it off.
        made.short_help = (made.help or "").partition("\n")[0]
        made.params += [*([_format_option()] if prints else []), *global_options()]
        return made

    return make


def global_options() -> tuple[TyperOption, ...]:
    """The options that every command and group takes; they write into the Session."""
    return (
        option(
            ["--socket"],
            "The agent's control socket [env: VOLT_SOCKET; default: /run/volt/agent.sock].",
            _set("socket"),
            metavar="PATH",
        ),
        option(
            ["-q", "--quiet"],
            "Only names in lists, nothing after changes.",
            _set("quiet"),
            is_flag=True,
        ),
        option(
            ["-v", "--verbose"],
            "Say what the agent is asked and how long it takes.",
            _set("verbose"),
            is_flag=True,
        ),
    )


def _format_option(panel: str | None = None) -> TyperOption:
    return option(
        ["-o", "--output"],
        "table, json or yaml; default: table.",
        _set_format,
        metavar="FORMAT",
        panel=panel,
        autocompletion=lambda ctx, args, incomplete: [*FORMATS],
    )


def option(
    names: list[str],
    text: str,
    callback: Callable[[Context, Parameter, Any], None],
    panel: str | None = GLOBAL_OPTIONS,
    **more: Any,
) -> TyperOption:
    """An option that is no parameter of the command: `callback` does something with its value.

    It is eager, so that it has done so before the command's own options are looked at.
    """
    return TyperOption(
        param_decls=names,
        help=text,
        callback=callback,
        expose_value=False,
        is_eager=True,
        rich_help_panel=panel,
        **more,
    )


def _set(attribute: str) -> Callable[[Context, Parameter, Any], None]:
    """A callback that keeps a given value; one that was given further left stays otherwise."""

    def keep(ctx: Context, param: Parameter, value: Any) -> None:
        if value:
            setattr(ctx.obj, attribute, value)

    return keep


def _set_format(ctx: Context, param: Parameter, value: str | None) -> None:
    if value is None:
        return
    if value not in FORMATS:
        raise Invalid(f"no such output format: {value}", "use table, json or yaml")
    cast("Session", ctx.obj).format = value


def _what_was_meant(word: str, ctx: Context, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    path = ctx.command_path
    ours = [each for each in FOREIGN_WORDS.get(word, ()) if each in known]
    close = ours or get_close_matches(word[:100], known, n=1)
    return f"did you mean `{path} {close[0]}`?" if close else f"see `{path} --help`"


def _format_options(command: AnyCommand, ctx: Context, formatter: HelpFormatter) -> None:
    """Arguments, the command's own options, then the global ones, each under its heading."""
    sections: dict[str, list[tuple[str, str]]] = {
        "Arguments": [],
        "Options": [],
        GLOBAL_OPTIONS: [],
    }
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            own = "Arguments" if param.param_type_name == "argument" else "Options"
            sections[getattr(param, "rich_help_panel", None) or own].append(record)
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
