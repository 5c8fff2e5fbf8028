"""What the kernel made of a value, and which keys volt itself holds."""

from __future__ import annotations

from ..errors import Invalid, Refused
from ..kernel import sysctl
from ..networks.forwarding import FORWARDING

# Both names of one switch (ip-sysctl.rst), which volt has on for as long as it is here.
_HELD = {FORWARDING: "1", "net.ipv4.conf.all.forwarding": "1"}


def canonical(key: str) -> str:
    """`key` with dots. Raises Invalid for what is none, and for those outside `net`."""
    try:
        return sysctl.dotted(key)
    except OSError as error:
        hint = "volt changes network settings only; `volt tune sysctl list 'net.core.*'` shows some"
        raise Invalid(f"{key[:100]!r} cannot be tuned: {error.strerror}", hint) from None


def check_wanted(name: str, value: str) -> str:
    """`value` with single spaces. Raises Invalid if it cannot be one, Refused if volt needs another
    one."""
    try:
        sysctl.check_value(value.replace("\t", " "))
    except OSError:
        raise Invalid(f"{name}: a value is one line of printable ASCII") from None
    words = normal(value)
    if not words:
        # procps-ng takes `key =` for a malformed line, systemd-sysctl for a value.
        hint = f"`volt tune sysctl reset {name}` brings the old value back"
        raise Invalid(f"{name}: the value is empty", hint)
    if _HELD.get(name, words) != words:
        hint = "`volt agent reset` makes it what it was before volt"
        raise Refused(f"volt keeps {name} at {_HELD[name]}: workloads need it", hint)
    return words


def normal(value: str) -> str:
    """With single spaces: the kernel shows tabs between numbers and takes both."""
    return " ".join(value.split())


def check_taken(name: str, asked: str, shown: str) -> None:
    """Raises Invalid where the kernel took only a part of `asked` and shows `shown` now.

    It stops at the first word that it does not understand, and says nothing (kernel/sysctl.c,
    do_proc_dointvec). Words and sets of ports it may show in another way than they were written.
    """
    numbers = _numbers(shown)
    if numbers is not None and numbers != _numbers(asked):
        message = f"{name}: the kernel would make {shown!r} of {asked[:100]!r}; nothing is changed"
        raise Invalid(message, f"now it is as before; give {len(numbers)} whole number(s)")


def _numbers(value: str) -> list[int] | None:
    """The numbers that `value` consists of (decimal, 0x or octal as in C); None if of others."""
    try:
        return [_number(each) for each in value.split()]
    except ValueError:
        return None


def _number(word: str) -> int:
    is_octal = word.startswith("0") and word.isdigit()
    return int(word, 8 if is_octal else 0)
