"""The host itself resolves the names of workloads, in the way that docs/names.md tells."""

from __future__ import annotations

import re

import pytest

from tests.support.host import Host
from tests.support.machine import ROOT

pytestmark = pytest.mark.kernel


def test_by_resolv_conf(lent: Host) -> None:
    """As it is printed there; names and addresses, with the host's own resolver."""
    page = (ROOT / "docs" / "names.md").read_text()
    lines = re.findall(r"^    ((?:search|nameserver) .*)$", page, re.M)
    assert len(lines) == 2
    address = lent.connect("volt0", "db")["db"]
    lent.path("/etc/resolv.conf").write_text("\n".join(lines) + "\n")
    for name in ("db", "db.volt.local", "db.volt0.volt.local"):
        assert lent.run("getent", "ahostsv4", name).stdout.split()[0] == address
    assert lent.run("getent", "hosts", address).stdout.split()[1] == "db.volt.local"


def test_bad_search_domains_are_told(host: Host) -> None:
    """One line for each, and the agent does not start."""
    config = "network:\n  dns:\n    search_domains: [a..b, -x.test, {}, {}]\n"
    long_label, long_name = "a" * 64, ".".join(["a" * 60] * 5)
    file = host.path("/run/host/config.yaml")
    file.write_text(config.format(long_label, long_name))
    checked = host.volt("agent", "check", check=False)
    assert checked.returncode == 2
    problems = [line for line in checked.stderr.splitlines() if "search_domains[" in line]
    assert len(problems) == 4
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a" * 64, id="a label of 64"),
        pytest.param("a." * 127 + "toolong", id="a name of 261"),
        pytest.param("a..b", id="an empty label"),
        pytest.param("x\u00e4.volt.local", id="not ASCII"),
    ],
)
def test_names_that_cannot_be_asked_for(lent: Host, name: str) -> None:
    """`net dns query` says so in one line."""
    asked = lent.volt("net", "dns", "query", name, check=False)
    assert asked.returncode == 2
    assert asked.stderr.startswith("error: ")
    assert "is not a DNS name" in asked.stderr
    assert "Traceback" not in asked.stderr
