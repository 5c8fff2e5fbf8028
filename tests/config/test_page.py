"""docs/configuration.md: every key, its default, and whether it waits for a restart."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

from volt_agent.config import Config, parse
from volt_agent.config.changes import RESTART, leaves

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()
EXAMPLE = textwrap.dedent("\n".join(re.findall(r"^    .*$", PAGE, re.M)))


def test_the_example_is_the_defaults() -> None:
    """Word for word usable as a file, and it changes nothing."""
    assert parse(EXAMPLE.encode()) == Config()


def test_every_key_is_there() -> None:
    """In the order of the schema."""
    assert [*_paths(yaml.safe_load(EXAMPLE))] == [path for path, _ in leaves(Config())]


def test_what_waits_for_a_restart_is_marked() -> None:
    """As `volt agent reload` has it."""
    path: list[str] = []
    marked = set()
    for line in EXAMPLE.splitlines():
        key = re.match(r"( *)(\w+):", line)
        if key is not None:
            path = [*path[: len(key[1]) // 2], key[2]]
            if line.endswith("[restart]"):
                marked.add(".".join(path))
    assert marked == set(RESTART)


def _paths(value: object, path: str = "") -> list[str]:
    if not isinstance(value, dict):
        return [path]
    return [
        one for name, each in value.items() for one in _paths(each, f"{path}.{name}".strip("."))
    ]
