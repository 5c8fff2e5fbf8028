"""`volt completion`"""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import Invalid
from .command import command
from .complete import SCRIPTS
from .session import Session

Shell = Annotated[
    str,
    typer.Argument(metavar="bash|zsh|fish", help="Which shell.", autocompletion=lambda: [*SCRIPTS]),
]


@command(
    "completion",
    prints=False,
    examples=(
        "source <(volt completion bash)",
        "volt completion bash > /etc/bash_completion.d/volt",
        "volt completion zsh > /usr/local/share/zsh/site-functions/_volt",
        "volt completion fish > ~/.config/fish/completions/volt.fish",
    ),
)
def completion(ctx: typer.Context, shell: Shell) -> None:
    """Print the script that makes a shell complete commands, options and names."""
    if shell not in SCRIPTS:
        raise Invalid(f"no such shell: {shell}", "use bash, zsh or fish")
    Session.of(ctx).write(SCRIPTS[shell])


COMMAND = completion
