"""Every section of the handbook, command by command, with what is printed: `handbook.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import clear
from tests.e2e.transcript import Section, matches, prepare, read
from tests.support.host import Host

pytestmark = pytest.mark.kernel

SECTIONS = read(Path(__file__).with_name("handbook.txt"))


@pytest.fixture
def fresh(lasting: Host) -> Iterator[Host]:
    """A host of which nothing was asked: what a section made is gone after it."""
    yield lasting
    clear_all(lasting)


def clear_all(host: Host) -> None:
    """Every object of every kind."""
    for method, key in (
        ("ingress", "name"),
        ("net.policy", "name"),
        ("net.vlan", "name"),
    ):
        for each in host.call(f"{method}.list"):
            host.call(f"{method}.delete", **{key: each[key]})
    for each in host.call("net.port.list"):
        host.call("net.port.delete", host_port=each["host_port"], proto=each["proto"])
    for each in host.call("tune.sysctl.list"):
        host.call("tune.sysctl.reset", key=each["key"])
    host.call("net.firewall.flush")
    clear(host)


@pytest.mark.parametrize("section", SECTIONS, ids=[each.title for each in SECTIONS])
def test_a_section_works_as_printed(fresh: Host, section: Section) -> None:
    """On a host where the workloads that it names exist."""
    servers = prepare(fresh, section.given)
    try:
        for step in section.steps:
            done = fresh.run(
                "sh", "-c", f"PATH={fresh.room}/bin:$PATH\n{step.command}", check=False
            )
            printed = [line for line in done.stdout.splitlines() if line.strip()]
            assert (done.returncode, done.stderr) == (step.status, ""), (step.command, done)
            assert matches(step.printed, printed), (step.command, done.stdout)
    finally:
        for each in servers:
            each.stop()
