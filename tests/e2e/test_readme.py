"""The README's tour, line by line on one host: what it tells a newcomer to type works."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.support.host import Host
from tests.support.machine import ROOT

pytestmark = pytest.mark.kernel

README = (ROOT / "README.md").read_text()
# It has a warning about what the tour has left behind, and no name server outside.
MAY_FAIL = ("volt doctor",)


def tour() -> list[str]:
    """The lines of the code blocks of the tour."""
    text = README[README.index("## A short tour") : README.index("### What is open")]
    return re.findall(r"^    (.+)$", text, re.M)


def test_the_tour(running: Host) -> None:
    """Each command succeeds, and says nothing on standard error."""
    lines = tour()
    assert len(lines) > 25
    for line in lines:
        if line.startswith("curl") and shutil.which("curl") is None:
            continue
        done = running.run("sh", "-c", f"PATH={running.room}/bin:$PATH\n{line}", check=False)
        assert done.stderr == "", line
        assert done.returncode == 0 or line.startswith(MAY_FAIL), line
        assert done.stdout or line.startswith("ip netns add"), line


def test_it_is_read_in_ten_minutes() -> None:
    """At 200 words a minute; depth is for the pages of docs."""
    assert len(README.split()) < 2000
