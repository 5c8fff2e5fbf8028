"""Groups, options at any place, help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import Volt
from tests.control.rig import Rig
from volt_agent.cli.command import Group
from volt_agent.cli.root import ROOT
from volt_agent.control.methods import METHODS


def every_command(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        member = group.get_command(None, name)
        yield (*path, name), member
        if isinstance(member, Group):
            yield from every_command(member, (*path, name))


COMMANDS = dict(every_command(ROOT))


def test_every_method_is_a_command() -> None:
    """The path of a command is the name of its call."""
    shown_by_others = {"net.firewall.pending"}  # `net firewall list` says it
    assert {".".join(path) for path in COMMANDS} >= set(METHODS) - shown_by_others


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(volt: Volt, path: tuple[str, ...]) -> None:
    """A sentence on what it does, its options, and for commands an example that begins like it."""
    result = volt(*path, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: volt {' '.join(path)} ")
    assert "--socket" in result.out
    usage, sentence, *_ = result.out.split("\n\n")
    assert not set("{}") & set(usage)
    assert sentence.strip().endswith((".", ","))
    prose, _, examples = result.out.partition("Examples:")
    assert max(map(len, prose.splitlines())) < 100
    if not isinstance(COMMANDS[path], Group):
        assert f"volt {' '.join(path)}" in examples


def test_short_help_is_the_same(volt: Volt) -> None:
    """-h and --help, at every level."""
    assert volt("net", "-h").out == volt("net", "--help").out


@pytest.mark.parametrize("path", [(), ("net",), ("net", "bridge")])
def test_a_group_alone_shows_its_help(volt: Volt, path: tuple[str, ...]) -> None:
    """On standard error, with the status of a wrong usage: nothing was done."""
    result = volt(*path)
    assert (result.status, result.out) == (2, "")
    assert "Commands:" in result.err


@pytest.mark.parametrize(
    "line",
    ["--socket S net list", "net --socket S list", "net list --socket S", "net list --socket=S"],
)
def test_global_options_at_any_place(
    rig: Rig, volt: Volt, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Before the command or after it, and over the environment."""
    monkeypatch.setenv("VOLT_SOCKET", "/nonexistent")
    result = volt(*line.replace("S", rig.path, 1).split())
    assert result.status == 0
    assert volt("net", "list").status == 4


@pytest.mark.parametrize(
    "line",
    ["-o json net list", "net --output json list", "net -o yaml list -o json", "net ls -ojson"],
)
def test_the_output_format_at_any_place(rig: Rig, volt: Volt, line: str) -> None:
    """As with the tools that take it before the command."""
    assert volt(*line.split()).out == volt("net", "list", "-o", "json").out


@pytest.mark.parametrize(
    ("line", "means"),
    [
        ("net ls", "net list"),
        ("net bridge ls -q", "net bridge list -q"),
        ("net rm -h", "net delete -h"),
        ("help", "--help"),
        ("help net connect", "net connect --help"),
    ],
)
def test_words_of_other_tools(rig: Rig, volt: Volt, line: str, means: str) -> None:
    """ls, rm and help do what the hands expect; lists of commands have the full words only."""
    assert volt(*line.split()) == volt(*means.split())
    assert volt(*line.split()).status == 0


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("net connect", "volt net connect [OPTIONS] NETWORK WORKLOAD"),
        ("net delete", "volt net delete [OPTIONS] [NAME]"),
        ("net dns query", "volt net dns query [OPTIONS] NAME [TYPE]"),
        ("net policy test", "volt net policy test [OPTIONS] --from FROM --to TO"),
        ("completion", "volt completion [OPTIONS] bash|zsh|fish"),
    ],
)
def test_usage_shows_what_is_required(volt: Volt, line: str, usage: str) -> None:
    """Required arguments and options as they are typed, the rest in brackets."""
    assert volt(*line.split(), "-h").out.splitlines()[0] == f"Usage: {usage}"


def test_the_last_one_counts(rig: Rig, volt: Volt) -> None:
    """An option at the command wins over the same one before it."""
    assert volt("--socket", "/nonexistent", "net", "list", "--socket", rig.path).status == 0


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("nett", "there is no command 'nett' in `volt`", "did you mean `volt net`?"),
        ("net lst", "there is no command 'lst' in `volt net`", "did you mean `volt net list`?"),
        ("net xyzzy", "there is no command 'xyzzy' in `volt net`", "see `volt net --help`"),
        ("net connect", "missing argument 'NETWORK'", "see `volt net connect --help`"),
        (
            "net show x",
            "there is no command 'show' in `volt net`",
            "did you mean `volt net inspect`?",
        ),
        (
            "net port create",
            "there is no command 'create' in `volt net port`",
            "did you mean `volt net port add`?",
        ),
        ("ls", "there is no command 'ls' in `volt`", "see `volt --help`"),
        ("help nett", "there is no command 'nett' in `volt`", "did you mean `volt net`?"),
        ("-o xml net list", "no such output format: xml", "use table, json or yaml"),
        ("net list x", "got unexpected extra argument(s) (x)", "see `volt net list --help`"),
        ("net list --frob", "no such option: --frob", "see `volt net list --help`"),
        ("net create x --subnt y", "no such option: --subnt", "did you mean --subnet?"),
        ("net --frob list", "no such option: --frob", "see `volt net --help`"),
        ("net create x --subnet", "option '--subnet' requires an argument", None),
        ("net create x --mtu big", "invalid value for '--mtu': 'big' is not a whole number", None),
        ("net create", "a name is missing", "give NAME or --name NAME"),
        ("net create a --name b", "two names were given: a and b", "give NAME or --name NAME"),
        ("net list -o xml", "no such output format: xml", "use table, json or yaml"),
        (
            "net create x --port-security maybe",
            "--port-security: expected on or off, got maybe",
            None,
        ),
        ("net connect a b --kind pod", "--kind: expected container or vm, got pod", None),
        ("completion tcsh", "no such shell: tcsh", "use bash, zsh or fish"),
        ("events -n -1", "--lines: expected a number from 0, got -1", None),
        ("agent run --log-level loud", "no such log level: loud", None),
    ],
)
def test_wrong_usage(volt: Volt, line: str, error: str, hint: str | None) -> None:
    """One line that says what is wrong, one that helps, status 2, nothing asked."""
    result = volt(*line.split())
    first, *rest = result.err.splitlines()
    assert (result.status, result.out, first) == (2, "", f"error: {error}")
    assert len(rest) <= 1
    if hint is not None:
        assert rest == [f"hint: {hint}"]


def test_the_same_name_twice_is_one_name(rig: Rig, volt: Volt) -> None:
    """NAME and --name may agree."""
    assert volt("net", "inspect", "backend", "--name", "backend").status == 0
