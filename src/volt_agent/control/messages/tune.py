"""Sysctls of the host's networking, as users set them."""

from __future__ import annotations

from msgspec import Struct

from ..method import Method, Nothing, Params


class SettingKey(Params, frozen=True):
    """Which sysctl, with dots or slashes."""

    key: str


class SetSetting(Params, frozen=True):
    """`runtime`: until the next boot only."""

    key: str
    value: str
    runtime: bool = False


class SettingPattern(Params, frozen=True):
    """A shell pattern, or a part of a key; None: what was set through volt."""

    pattern: str | None = None


class Buffers(Params, frozen=True):
    """The largest socket buffers in bytes; None: as it is. `runtime`: until the next boot only."""

    rmem_max: int | None = None
    wmem_max: int | None = None
    runtime: bool = False


class Setting(Struct, frozen=True):
    """A sysctl. `value` None: it is not here or cannot be read. `former` is the value before volt
    changed it, None if volt did not; `kept` is the value that every boot brings, None if none."""

    key: str
    value: str | None
    former: str | None = None
    kept: str | None = None


SHOW = Method("tune.net.show", Nothing, list[Setting], "Show the settings that matter for speed")
BUFFERS = Method(
    "tune.net.buffers", Buffers, list[Setting], "Set the largest socket buffers", changes=True
)
GET = Method("tune.sysctl.get", SettingKey, Setting, "Show a network setting of the kernel")
SET = Method(
    "tune.sysctl.set", SetSetting, Setting, "Set a network setting of the kernel", changes=True
)
RESET = Method(
    "tune.sysctl.reset", SettingKey, Setting, "Bring back a setting's former value", changes=True
)
LIST = Method(
    "tune.sysctl.list", SettingPattern, list[Setting], "List network settings of the kernel"
)

METHODS = (SHOW, BUFFERS, GET, SET, RESET, LIST)
