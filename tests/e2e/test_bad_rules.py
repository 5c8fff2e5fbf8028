"""Bad input about rules, forwards and policies: one clear line each, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_bad_input import NOT_FOUND, REFUSED, USAGE, Bad, complaint_about
from tests.support.host import Host

pytestmark = pytest.mark.kernel

RULE = "net firewall add --name new --source any --dest web --action accept"
FORWARD = "net port add --target web --target-port 80"
POLICY = "net policy create --name new --from web --to db --action allow"

TABLE = [
    # names
    Bad(RULE.replace("web", "wep"), NOT_FOUND, "did you mean web?"),
    Bad(RULE.replace("web", "../x"), USAGE, "../x"),
    Bad(RULE.replace("new", "UPPER"), USAGE, "UPPER"),
    Bad(RULE.replace("new", "x" * 64), USAGE, "63"),
    Bad(RULE.replace("new", "taken"), REFUSED, "dest db, not web"),
    Bad("net firewall add --source any --dest web --action accept", USAGE, "--name"),
    Bad("net firewall delete nosuch", NOT_FOUND, "nosuch"),
    Bad("net firewall delete", USAGE, "name"),
    Bad(FORWARD.replace("web", "wep") + " --host-port 80", NOT_FOUND, "did you mean web?"),
    Bad(FORWARD.replace("web", "backend") + " --host-port 80", NOT_FOUND, "network"),
    Bad("net port delete --host-port 4711", NOT_FOUND, "4711"),
    Bad(POLICY.replace("db", "dbb"), NOT_FOUND, "did you mean db?"),
    Bad(POLICY.replace("new", "taken"), REFUSED, "from db, not web"),
    Bad(POLICY.replace("--from web", "--from outside"), USAGE, "outside"),
    Bad("net policy delete nosuch", NOT_FOUND, "nosuch"),
    Bad("net policy test --from nosuch --to web --port 80", NOT_FOUND, "nosuch"),
    Bad("net policy test --from web --to backend --port 80", NOT_FOUND, "backend"),
    Bad("net policy test --from web --to db", USAGE, "--port"),
    Bad("net policy test --from web --to db --port 80-81", USAGE, "80-81"),
    Bad("net policy test --from web --to db --proto icmp --port 8", USAGE, "icmp"),
    Bad("net policy test --from web --to db --port 80 --live", REFUSED, "does not run"),
    Bad("net policy test --from outside --to db --port 80 --live", REFUSED, "outside"),
    Bad("net delete unused", REFUSED, "policy keeps"),
    # ports
    *(Bad(f"{RULE} --port {port}", USAGE, port) for port in ("0", "65536", "http", "1e3")),
    Bad(RULE + " --port 80,", USAGE, "not a port"),
    Bad(RULE + " --port 90-80", USAGE, "80-90"),
    Bad(RULE + " --port 80 --proto icmp", USAGE, "icmp has no ports"),
    Bad(RULE + " --port 80 --proto any", USAGE, "--proto tcp"),
    Bad(FORWARD + " --host-port 0", USAGE, "'0'"),
    Bad(FORWARD + " --host-port 80,81", USAGE, "80,81"),
    Bad(FORWARD.replace("80", "65535") + " --host-port 80-81", USAGE, "65534"),
    Bad(FORWARD + " --host-port 80 --proto icmp", USAGE, "icmp"),
    Bad(FORWARD + " --host-port 80 --host-ip here", USAGE, "here"),
    Bad(FORWARD + " --host-port 53", REFUSED, "volt itself"),
    # words
    Bad(RULE + " --proto sctp", USAGE, "sctp"),
    Bad(RULE.replace("accept", "allow"), USAGE, "accept"),
    Bad(POLICY.replace("allow", "accept"), USAGE, "allow"),
    Bad(RULE.replace("any", "host"), REFUSED, "source"),
    Bad(RULE.replace("web", "10.30.0.1"), REFUSED, "gateway"),
    Bad(RULE.replace("web", "10.30.0.5/24"), USAGE, "10.30.0.0/24"),
    Bad(RULE.replace("any", "fd00::1"), USAGE, "IPv6"),
    # confirmation
    Bad(RULE + " --confirm soon", USAGE, "soon"),
    Bad(RULE + " --confirm 2h", USAGE, "2h"),
    Bad("net firewall confirm", REFUSED, "no change waits"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """web and db on backend, and one object of each kind."""
    with Host() as host:
        host.start_agent()
        host.call("net.create", name="backend", subnet="10.30.0.0/24")
        for name in ("web", "db", "alone"):
            host.call("net.connect", network="backend", workload=name)
        host.volt("net", "disconnect", "alone")
        host.call("net.firewall.add", name="taken", source="any", dest="db", action="accept")
        host.call("net.policy.create", name="taken", to="web", action="deny", **{"from": "db"})
        host.volt("net", "create", "unused", "--subnet", "10.41.0.0/24")
        host.call("net.policy.create", name="keeps", to="web", action="deny", **{"from": "unused"})
        yield host


def state(host: Host) -> dict[str, Any]:
    """All that a refused command might have changed."""
    return {
        "rules": [each["name"] for each in host.call("net.firewall.list")],
        "forwards": host.call("net.port.list"),
        "policies": [each["name"] for each in host.call("net.policy.list")],
    }


def test_every_bad_command_is_refused_in_one_line_and_changes_nothing(site: Host) -> None:
    """The table, row by row; the state is compared at the end."""
    before = state(site)
    wrong = [found for bad in TABLE if (found := complaint_about(bad, site))]
    assert not wrong, "\n".join(wrong)
    assert state(site) == before


@pytest.mark.parametrize("name", ["fwd", "ip", "policy", "drop", "table", "0"])
def test_keywords_of_nft_are_names_like_others(site: Host, name: str) -> None:
    """As a rule and as a policy."""
    site.call("net.firewall.add", name=name, source="any", dest="web", action="drop")
    site.call("net.policy.create", name=name, to="web", action="deny", **{"from": "db"})
    site.call("net.policy.delete", name=name)
    site.call("net.firewall.delete", name=name)


def test_a_workload_on_no_network(site: Host) -> None:
    """It may be named everywhere; a forward to it is pending."""
    site.call("net.firewall.add", name="x", source="alone", dest="web", action="drop")
    site.call("net.policy.create", name="x", to="alone", action="allow", **{"from": "db"})
    added = site.call("net.port.add", host_port=4712, target="alone", target_port=80)
    assert (added["host_port"], added["status"]) == ("4712", "pending")
    site.call("net.port.delete", host_port="4712")
    site.call("net.policy.delete", name="x")
    site.call("net.firewall.delete", name="x")
