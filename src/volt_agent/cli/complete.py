"""Completion in shells, with names asked from the agent.

The shell runs `volt` with `_VOLT_COMPLETE=complete_SHELL`, the words so far in COMP_WORDS, and in
COMP_CWORD the place of the word to complete (fish: that word itself). It gets one candidate per
line, for zsh and fish with a description. Completion is silent and quick, or nothing: without an
agent there are no names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from ..control.method import Nothing
from ..errors import Invalid, VoltError
from .session import Session

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem

    from .command import Group

VARIABLE = "_VOLT_COMPLETE"

# In seconds: somebody has pressed the tabulator key and waits.
TIMEOUT = 0.5

SCRIPTS: Mapping[str, str] = {
    "bash": """\
_volt_completion() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        _VOLT_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -F _volt_completion volt
""",
    "zsh": """\
#compdef volt
_volt() {
    local -a found
    found=("${(@f)$(COMP_WORDS="${(pj:\\n:)words}" COMP_CWORD=$((CURRENT - 1)) \\
        _VOLT_COMPLETE=complete_zsh "${words[1]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then _describe volt found; else _files; fi
}
if [[ "${zsh_eval_context[-1]}" == loadautofunc ]]; then _volt "$@"; else compdef _volt volt; fi
""",
    "fish": """\
function __volt_completion
    _VOLT_COMPLETE=complete_fish COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \\
        volt 2>/dev/null
end
complete --command volt --no-files --arguments '(__volt_completion)'
""",
}


def network_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the networks that begin with `incomplete`."""
    from ..control.messages.network import LIST

    return _names_from(ctx, LIST, incomplete)


def vlan_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the VLANs that begin with `incomplete`."""
    from ..control.messages.vlan import LIST

    return _names_from(ctx, LIST, incomplete)


def interface_names(incomplete: str) -> list[str]:
    """The host's interfaces that begin with `incomplete` (sysfs-class-net)."""
    with suppress(OSError):
        return sorted(each for each in os.listdir("/sys/class/net") if each.startswith(incomplete))
    return []


def workload_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the workloads that begin with `incomplete`."""
    from ..control.messages.workload import PS

    return _names_from(ctx, PS, incomplete)


def end_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Workloads and networks, for the ends of policies."""
    return [*workload_names(ctx, incomplete), *network_names(ctx, incomplete)]


def source_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """What a rule may have as its source, but for addresses."""
    return [*_words(("any", "outside"), incomplete), *end_names(ctx, incomplete)]


def dest_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """What a rule may have as its destination, but for addresses."""
    return [*_words(("any", "host"), incomplete), *end_names(ctx, incomplete)]


def asker_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Where a tested connection may come from, but for addresses."""
    return [*_words(("host", "outside"), incomplete), *workload_names(ctx, incomplete)]


def rule_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the firewall rules that begin with `incomplete`; not what is built in."""
    from ..control.messages.firewall import LIST

    return [each for each in _names_from(ctx, LIST, incomplete) if ":" not in each]


def policy_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the network policies that begin with `incomplete`."""
    from ..control.messages.policy import LIST

    return _names_from(ctx, LIST, incomplete)


def route_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the ingress routes that begin with `incomplete`."""
    from ..control.messages.ingress import LIST

    return _names_from(ctx, LIST, incomplete)


def certificate_hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """The host names with a certificate of the ingress that begin with `incomplete`."""
    from ..control.messages.certificate import LIST

    return _names_from(ctx, LIST, incomplete, "host")


def complete(root: Group, session: Session, environ: Mapping[str, str]) -> None:
    """Answer a shell, as its variables in `environ` ask."""
    from typer._click.shell_completion import (
        _resolve_context,
        _resolve_incomplete,
        split_arg_string,
    )

    shell = environ[VARIABLE].removeprefix("complete_")
    if shell not in SCRIPTS:
        raise Invalid(f"{VARIABLE}: no such shell: {shell}", "bash, zsh and fish are known")
    words = split_arg_string(environ.get("COMP_WORDS", ""))
    args, incomplete = _word_to_complete(shell, words[1:], environ.get("COMP_CWORD", ""))
    with suppress(VoltError):  # a word before this one is wrong: there is nothing to offer
        ctx = _resolve_context(root, {"obj": session}, "volt", args)
        asked, incomplete = _resolve_incomplete(ctx, args, incomplete)
        for item in asked.shell_complete(ctx, incomplete):
            session.write(_candidate(shell, item) + "\n")


def _word_to_complete(shell: str, words: list[str], place: str) -> tuple[list[str], str]:
    """The complete words before the one in question, and that one."""
    if shell == "fish":
        is_last = bool(words) and place != "" and words[-1] == place
        return (words[:-1] if is_last else words), place
    before = max(int(place) - 1, 0) if place.isdigit() else len(words)
    return words[:before], "".join(words[before : before + 1])


def _candidate(shell: str, item: CompletionItem) -> str:
    value, text = str(item.value), " ".join((item.help or "").split())
    if shell == "bash" or not text:
        return value
    return f"{value}\t{text}" if shell == "fish" else f"{value.replace(':', chr(92) + ':')}:{text}"


def _words(words: Sequence[str], incomplete: str) -> list[str]:
    return [each for each in words if each.startswith(incomplete)]


def _names_from(ctx: typer.Context, method: Any, incomplete: str, key: str = "name") -> list[str]:
    try:
        found = Session.of(ctx).client(TIMEOUT).call(method, Nothing())
    except VoltError:
        return []
    return _words([getattr(each, key) for each in found], incomplete)
