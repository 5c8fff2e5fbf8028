"""`volt tune`: network settings of the kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from ..control.messages.tune import (
    BUFFERS,
    GET,
    LIST,
    RESET,
    SET,
    SHOW,
    Buffers,
    SetSetting,
    Setting,
    SettingKey,
    SettingPattern,
)
from ..control.method import Nothing
from ..errors import Invalid
from .command import Group, command
from .output import Column, cell
from .session import Session

COLUMNS: Sequence[Column[Setting]] = (
    ("KEY", lambda each: each.key),
    ("VALUE", lambda each: each.value),
    ("BEFORE", lambda each: each.former),
    ("EVERY-BOOT", lambda each: each.kept),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

Key = Annotated[str, typer.Argument(metavar="KEY", help="With dots or slashes.")]
Value = Annotated[str, typer.Argument(metavar="VALUE", help="Several numbers in quotes.")]
Pattern = Annotated[
    str | None, typer.Argument(metavar="PATTERN", help="Such as 'net.core.*', or part of a key.")
]
Runtime = Annotated[bool, typer.Option("--runtime", help="Until the next boot only.")]
RmemMax = Annotated[
    str | None, typer.Option("--rmem-max", metavar="SIZE", help="For receiving: bytes, or 16M.")
]
WmemMax = Annotated[
    str | None, typer.Option("--wmem-max", metavar="SIZE", help="For sending: bytes, or 16M.")
]


@command(
    "buffers",
    examples=(
        "volt tune net buffers --rmem-max 16M --wmem-max 16M",
        "volt tune net buffers --rmem-max 4M --runtime",
    ),
)
def buffers(
    ctx: typer.Context,
    rmem_max: RmemMax = None,
    wmem_max: WmemMax = None,
    runtime: Runtime = False,
) -> None:
    """Set the largest socket buffers. K, M and G are powers of 1024."""
    session = Session.of(ctx)
    sizes = size_of("--rmem-max", rmem_max), size_of("--wmem-max", wmem_max)
    if sizes == (None, None):
        raise Invalid("no size was given", "give --rmem-max, --wmem-max or both")
    params = Buffers(rmem_max=sizes[0], wmem_max=sizes[1], runtime=runtime)
    found = session.call(BUFFERS, params)
    session.done(found, "\n".join(map(_sentence, found)))


@command("show", examples=("volt tune net show", "volt tune net show -o json"))
def show(ctx: typer.Context) -> None:
    """Show the settings that matter for speed, and those set through volt."""
    session = Session.of(ctx)
    session.table(session.call(SHOW, Nothing()), COLUMNS)


@command("get", examples=("volt tune sysctl get net.ipv4.ip_forward",))
def get(ctx: typer.Context, key: Key) -> None:
    """Show a setting; with -q its value only."""
    session = Session.of(ctx)
    found = session.call(GET, SettingKey(key=key))
    session.show(found, lambda: f"{cell(found.value) if session.quiet else _line(found)}\n")


@command(
    "set",
    examples=(
        "volt tune sysctl set net.core.somaxconn 65535",
        "volt tune sysctl set net.ipv4.tcp_rmem '4096 131072 16777216' --runtime",
    ),
)
def set_setting(ctx: typer.Context, key: Key, value: Value, runtime: Runtime = False) -> None:
    """Set a setting, now and at every boot (/etc/sysctl.d/90-volt.conf).

    `volt tune sysctl reset KEY` brings the old value back.
    """
    session = Session.of(ctx)
    found = session.call(SET, SetSetting(key=key, value=value, runtime=runtime))
    session.done(found, _sentence(found))


@command("reset", examples=("volt tune sysctl reset net.core.somaxconn",))
def reset(ctx: typer.Context, key: Key) -> None:
    """Bring back the value from before volt set it, now and at every boot."""
    session = Session.of(ctx)
    found = session.call(RESET, SettingKey(key=key))
    session.done(found, _line(found))


@command(
    "list",
    examples=("volt tune sysctl list", "volt tune sysctl list 'net.ipv4.tcp_*'"),
)
def list_settings(ctx: typer.Context, pattern: Pattern = None) -> None:
    """List what was set through volt, or all settings that PATTERN matches."""
    session = Session.of(ctx)
    session.table(session.call(LIST, SettingPattern(pattern=pattern)), COLUMNS)


def size_of(option: str, text: str | None) -> int | None:
    """Bytes from `16M`, `64k` or `4096`. Raises Invalid."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text.upper(), re.ASCII)
    if found is None:
        raise Invalid(f"{option} {text} is not a size", "sizes are bytes, or such as 512K, 16M, 1G")
    return int(found[1]) * _UNITS[found[2]]


def _line(each: Setting) -> str:
    return f"{each.key} = {cell(each.value)}"


def _sentence(each: Setting) -> str:
    until = "at every boot" if each.kept == each.value else "until the next boot"
    return f"{_line(each)} ({until}; before: {cell(each.former)})"


_NET = Group("net", "What matters for speed.", commands=(buffers, show))
_SYSCTL = Group(
    "sysctl",
    "Network settings of the kernel, one by one.",
    commands=(get, set_setting, reset, list_settings),
)


COMMAND = Group("tune", "Network settings of the kernel.", commands=(_NET, _SYSCTL))
