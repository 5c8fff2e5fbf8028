"""Every test here boots something real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import systemd_host
from tests.support.systemd_host import SystemdHost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need root (see tests/conftest.py) and the image that `scripts/set-up host` builds."""
    missing = pytest.mark.skip(reason="no image to boot: scripts/set-up host builds it")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.host)
            if not systemd_host.is_built():
                item.add_marker(missing)


@pytest.fixture(scope="module")
def booted() -> Iterator[SystemdHost]:
    """A systemd host with the agent running, of which nothing was asked yet."""
    with SystemdHost() as host:
        host.start_agent()
        yield host
