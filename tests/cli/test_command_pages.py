"""docs/: the pages of the commands are those of the commands, and what pages name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer._click import Context

from scripts.command_pages import DIRECTORY, pages
from volt_agent.cli.command import Group
from volt_agent.cli.root import ROOT as VOLT

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def test_the_pages_are_up_to_date() -> None:
    """`make docs` would change nothing."""
    written = {path.name: path.read_text() for path in DIRECTORY.glob("*.md")}
    assert written == dict(pages()), "run `make docs`"


@pytest.mark.parametrize("path", BY_HAND, ids=[each.name for each in BY_HAND])
def test_links_lead_somewhere(path: Path) -> None:
    """To a file of the tree."""
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", BY_HAND, ids=[each.name for each in BY_HAND])
def test_commands_are_written_as_they_are(path: Path) -> None:
    """Every `volt ...` of a code block or in backquotes names a command and its options."""
    text = path.read_text().replace("\\\n", " ")
    found = re.findall(r"^    (volt .*)$|`(volt [^`\n]*)`", text, re.M)
    for line in filter(None, (block or quoted for block, quoted in found)):
        assert unknown_words(line) == [], line


def unknown_words(line: str) -> list[str]:
    """The words of a command line that are neither a command nor an option of it."""
    words = shlex.split(line.replace("...", ""), comments=True)[1:]
    member, context = VOLT, Context(VOLT, info_name="volt")
    while words and isinstance(member, Group) and not words[0].startswith("-"):
        name = words.pop(0)
        known = {*member.list_commands(context)}
        if name not in known:
            # `volt ps|status` and `volt net X` stand for several.
            return [each for each in name.split("|") if each not in known and each.islower()]
        found = member.get_command(context, name)
        assert found is not None
        member, context = found, Context(found, info_name=name, parent=context)  # type: ignore[assignment]
    options = {name for each in member.get_params(context) for name in each.opts}
    given = [each.partition("=")[0] for each in words if re.match(r"--?[a-z]", each)]
    return [each for each in given if each not in options | {"--help", "-h", "--version"}]


def test_figures_name_programs_that_exist() -> None:
    """Who doubts a figure can run what shows it."""
    named = set(re.findall(r"python -m benchmarks\.(\w+)", BY_HAND[0].read_text()))
    assert len(named) > 10
    assert [each for each in named if not (ROOT / "benchmarks" / f"{each}.py").exists()] == []
    targets = set(re.findall(r"`make ([a-z-]+)`", BY_HAND[0].read_text()))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
