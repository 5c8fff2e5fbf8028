"""One lab for each file of tests, cleaned between tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.firewall.lab import Lab
from volt_agent.firewall.plane import Firewall


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    """The lab without a ruleset and without a memory of connections, as a host before volt."""
    lab.sh("host", "nft", "flush", "ruleset")
    lab.firewall = Firewall(lab.nft, lab.bus)
    yield lab
    lab.sh("host", "nft", "flush", "ruleset")
