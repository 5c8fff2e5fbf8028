"""The manual pages: every command, in roff that no reader stumbles over."""

from __future__ import annotations

import re

import pytest

from scripts.man_pages import pages
from volt_agent.cli.root import ROOT

PAGES = dict(pages())
MACROS = {".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi", ".RS", ".RE", ".B"}


def test_there_is_a_page_for_every_word_after_volt() -> None:
    """And volt(1), which names them all."""
    words = ROOT._members
    assert set(PAGES) == {"volt.1", *(f"volt-{word}.1" for word in words)}
    for word in words:
        assert rf"volt\-{word}(1)" in PAGES["volt.1"]


def test_commands_come_with_their_options_and_examples() -> None:
    """As their help has them."""
    page = PAGES["volt-net.1"]
    assert r".SS volt net firewall add [OPTIONS]" in page
    assert r"\fB\-\-source" in page
    assert "Examples:" in page


@pytest.mark.parametrize("name", PAGES)
def test_only_macros_begin_with_a_dot(name: str) -> None:
    """A line of text that did would be taken for one, and vanish."""
    for line in PAGES[name].splitlines():
        assert not line.startswith("'")
        if line.startswith("."):
            assert line.split()[0] in MACROS
        # Outside of requests a hyphen is written so that it can be searched and copied.
        elif not line.startswith(r"\&"):
            assert not re.search(r"(?<!\\)-", line), line
