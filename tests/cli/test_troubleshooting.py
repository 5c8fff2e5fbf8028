"""docs/troubleshooting.md: what it says that `volt doctor` says is what `volt doctor` says."""

from __future__ import annotations

import re

import pytest

from tests.cli.test_checks import FAULTS
from tests.cli.test_workload_checks import PAIR_FAULTS
from tests.support.machine import ROOT
from volt_agent.cli.checks import examine
from volt_agent.cli.workload_checks import examine_pair

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
QUOTED = re.findall(r"`(?:warn|fail)  [^`]+`", PAGE)
# Said where there is no agent to ask anything further.
NO_AGENT = "`fail  agent  no agent is running...`"


def said() -> set[str]:
    """Every line about something wrong that the tests of the checks know."""
    lines = [each for found, *_ in FAULTS for each in examine(found)]
    lines += [each for found, *_ in PAIR_FAULTS for each in examine_pair(found)]
    return {f"{each.state}  {each.check}  {each.message}" for each in lines if each.state != "ok"}


@pytest.mark.parametrize("line", [each for each in QUOTED if each != NO_AGENT])
def test_a_line_of_the_doctor_is_as_it_says_it(line: str) -> None:
    """Word for word, but for what stands as `...`."""
    pattern = re.compile(".*".join(map(re.escape, line.strip("`").split("..."))))
    assert any(pattern.fullmatch(each) for each in said()), line


def test_every_check_is_there() -> None:
    """What may be wrong with a host has its line on the page."""
    assert NO_AGENT in QUOTED
    wrong = {each.split("  ")[1] for each in said()}
    assert wrong <= {each.split("  ")[1] for each in QUOTED}
