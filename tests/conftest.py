"""What every test may ask for, and what every run must leave behind: nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support import leftovers
from tests.support.host import Host
from tests.support.machine import ROOT

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("volt", deadline=None, print_blob=True)
hypothesis.settings.load_profile("volt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there is no real kernel to test on: say so instead of failing."""
    if os.geteuid() == 0:
        return
    needs_root = pytest.mark.skip(reason="needs root (namespaces, nftables)")
    for item in items:
        if "kernel" in item.keywords or "host" in item.keywords:
            item.add_marker(needs_root)


BEFORE = pytest.StashKey[dict[str, object]]()


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: a shell's background job ignores it.

    And let these compile once what they import, elsewhere than beside the sources: there are
    hundreds of them, and without bytecode an agent takes twice as long to start.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".cache" / "bytecode")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the machine, where nobody else works: elsewhere containers come and go meanwhile."""
    if "CI" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.stash[BEFORE] = leftovers.machine()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing was left behind on the machine that the tests ran on, or the run has failed."""
    before = session.config.stash.get(BEFORE, None)
    if before is None:
        return
    for key, left in leftovers.added(before, leftovers.machine()).items():
        print(f"\nleft behind on the machine, {key}: {left}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def host() -> Iterator[Host]:
    """A private host with volt installed, the agent not started."""
    with Host() as host:
        yield host
