"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer

from ..errors import Invalid
from .complete import network_names, workload_names

T = TypeVar("T", bound=str)

NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The network.", autocompletion=network_names),
]
NewNameArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Lower case letters, digits and hyphens.")
]
NewNameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Lower case letters, digits and hyphens.")
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The same as the argument.")
]
RequiredNetwork = Annotated[
    str, typer.Argument(metavar="NETWORK", help="The network.", autocompletion=network_names)
]
RequiredWorkload = Annotated[
    str,
    typer.Argument(metavar="WORKLOAD", help="The workload.", autocompletion=workload_names),
]
PortSecurityOption = Annotated[
    str | None,
    typer.Option(
        "--port-security",
        metavar="on|off",
        help="Drop spoofed addresses. Off for nested machines, virtual IPs, DHCP relays.",
        autocompletion=lambda: ["on", "off"],
    ),
]


def one_name(argument: str | None, option: str | None) -> str:
    """The name that was given as NAME or `--name NAME`. Raises Invalid for none or two."""
    if argument is not None and option is not None and argument != option:
        raise Invalid(f"two names were given: {argument} and {option}", "give NAME or --name NAME")
    name = argument if argument is not None else option
    if name is None:
        raise Invalid("a name is missing", "give NAME or --name NAME")
    return name


def on_or_off(option: str, word: str | None) -> bool | None:
    """The value of an `on|off` option; None where it was not given."""
    if word in ("on", "off", None):
        return None if word is None else word == "on"
    raise Invalid(f"{option}: expected on or off, got {word}")


def one_of(option: str, word: str, choices: Sequence[T]) -> T:
    """The one of `choices` that was given for `option`. Raises Invalid."""
    for each in choices:
        if each == word:
            return each
    raise Invalid(f"{option}: expected {', '.join(choices[:-1])} or {choices[-1]}, got {word}")
