"""What every test may ask for, and what every run must leave behind: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import leftovers
from tests.support.host import Host


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there is no real kernel to test on: say so instead of failing."""
    if os.geteuid() == 0:
        return
    needs_root = pytest.mark.skip(reason="needs root (namespaces, nftables)")
    for item in items:
        if "kernel" in item.keywords or "host" in item.keywords:
            item.add_marker(needs_root)


@pytest.fixture(scope="session", autouse=True)
def untouched_machine() -> Iterator[None]:
    """The machine that the tests run on is afterwards as it was.

    Only where nobody else works: elsewhere somebody's container may come or go meanwhile.
    """
    alone = "CI" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ
    before = leftovers.machine()
    yield
    after = leftovers.machine()
    if alone:
        assert after == before


@pytest.fixture
def host() -> Iterator[Host]:
    """A private host with volt installed, the agent not started."""
    with Host() as host:
        yield host
