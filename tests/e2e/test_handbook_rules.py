"""Behind the handbook's commands: firewall rules, port forwarding, network policies."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

RULE_KEYS = {
    "name", "source", "dest", "ports", "proto", "action", "chain", "packets", "bytes", "builtin",
}  # fmt: skip
DENIED = 5


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    """The handbook's workloads; all run, but for db-primary."""
    with Host() as host:
        host.start_agent()
        host.call("net.create", name="backend", subnet="10.30.0.0/24")
        host.connect("backend", "web-frontend", "app-server")
        host.volt("net", "connect", "backend", "db-primary", "--ip", "10.30.0.10")
        yield host


def volt(host: Host, line: str, status: int = 0) -> list[str]:
    """What a command line prints, as lines; backslashes join lines, as in a shell."""
    done = host.volt(*shlex.split(line.replace("\\\n", "")), check=False)
    assert done.returncode == status, (line, done.stdout, done.stderr)
    return done.stdout.splitlines()


def test_what_is_built_in(site: Host) -> None:
    """Behind the users' rules: the default policy with its counters, one masquerade per network."""
    volt(site, "net firewall add --name own --source outside --dest host --action drop --port 1")
    listed = site.volt_json("net", "firewall", "list")
    assert all(set(each) == RULE_KEYS for each in listed)
    assert [each["name"] for each in listed if not each["builtin"]] == ["own"]
    assert (listed[0]["name"], listed[0]["chain"]) == ("own", "volt-input")
    built_in = {each["name"]: each for each in listed if each["builtin"]}
    assert {"builtin:masquerade-volt0", "builtin:masquerade-backend"} <= set(built_in)
    assert built_in["builtin:host-allow"]["ports"] == "22"
    closed = built_in["builtin:between-networks"]
    assert (closed["action"], closed["chain"]) == ("drop", "volt-forward")
    assert isinstance(closed["packets"], int)
    volt(site, "net firewall flush")


def test_port_forwarding(site: Host) -> None:
    """To a running container and to one that does not run yet."""
    volt(site, "net port add --host-port 80 --target web-frontend --target-port 80")
    volt(site, "net port add --host-port 5432 --target db-primary --target-port 5432")
    assert volt(site, "net port list") == [
        "HOST-PORT  TARGET        TARGET-PORT  PROTO  STATUS",
        "80         web-frontend  80           tcp    active",
        "5432       db-primary    5432         tcp    pending",
    ]
    assert site.volt_json("net", "port", "list")[0] == {
        "host_port": "80",
        "target": "web-frontend",
        "target_port": "80",
        "proto": "tcp",
        "status": "active",
        "host_ip": None,
    }
    volt(site, "net port delete --host-port 80")
    volt(site, "net port delete --host-port 5432 --proto tcp")
    assert site.volt_json("net", "port", "list") == []


def test_a_taken_port_names_its_owner(site: Host) -> None:
    """A process on any address or on loopback, volt's own name server, another forward."""
    site.traffic.serve("host", tcp=[8080])
    for command, owner in (
        ("net port add --host-port 8080 --target web-frontend --target-port 80", "0.0.0.0:8080"),
        ("net port add --host-port 53 --target web-frontend --target-port 53", "volt itself"),
    ):
        refused = site.volt(*command.split(), check=False)
        assert (refused.returncode, owner in refused.stderr) == (1, True), refused.stderr
    volt(site, "net port add --host-port 81-90 --target web-frontend --target-port 81")
    again = ["net", "port", "add", "--host-port", "85", "--target", "app-server"]
    refused = site.volt(*again, "--target-port", "85", check=False)
    assert "web-frontend:81-90" in refused.stderr
    volt(site, "net port delete --host-port 81-90")


def test_network_policies(site: Host) -> None:
    """Create, list, test, delete; the exit status of a denial is 5."""
    volt(
        site,
        """net policy create --name app-to-db \\
        --from app-server --to db-primary --port 5432 --action allow""",
    )
    rows = [line.split() for line in volt(site, "net policy list")]
    assert [row[:6] for row in rows] == [
        ["NAME", "FROM", "TO", "PORT", "PROTO", "ACTION"],
        ["app-to-db", "app-server", "db-primary", "5432", "tcp", "allow"],
    ]
    (listed,) = site.volt_json("net", "policy", "list")
    assert set(listed) == {"name", "from", "to", "port", "proto", "action", "packets"}
    ask = "net policy test --from {} --to db-primary --port 5432"
    assert volt(site, ask.format("app-server")) == [
        "✓ app-server → db-primary:5432 — ALLOWED (policy: app-to-db)"
    ]
    denied = volt(site, ask.format("web-frontend"), status=DENIED)
    assert denied[0] == "✗ web-frontend → db-primary:5432 — DENIED"
    assert "app-to-db" in denied[1]
    asked = [*ask.format("web-frontend").split(), "-o", "json"]
    answer = site.volt(*asked, check=False)
    assert (answer.returncode, '"verdict": "DENIED"' in answer.stdout) == (DENIED, True)
    volt(site, "net policy delete --name app-to-db")
    assert "default: same network" in volt(site, ask.format("web-frontend"))[0]
    assert site.volt_json("net", "policy", "list") == []


def test_repetitions_change_nothing(site: Host) -> None:
    """Of each of the three; the revision of the store tells."""
    for command in (
        "net firewall add --name same --source any --dest web-frontend --action drop",
        "net port add --host-port 91 --target web-frontend --target-port 80",
        "net policy create --name same --from app-server --to web-frontend --action allow",
    ):
        assert not any("unchanged" in line for line in volt(site, command))
        assert any("unchanged" in line for line in volt(site, command))
    for command in (
        "net firewall delete same",
        "net port delete --host-port 91",
        "net policy delete same",
    ):
        volt(site, command)
        volt(site, command, status=3)


def test_completion_knows_names(site: Host) -> None:
    """Rules without what is built in, policies, and the words that ends may be."""
    site.call("net.firewall.add", name="some-rule", source="any", dest="any", action="accept")
    site.call(
        "net.policy.create", name="some-policy", action="deny", to="backend", **{"from": "backend"}
    )
    for words, found in (
        ("net firewall delete ", ["some-rule"]),
        ("net policy delete ", ["some-policy"]),
        ("net port add --target app", ["app-server"]),
        ("net firewall add --source o", ["outside"]),
        ("net firewall add --dest h", ["host"]),
        ("net policy create --to b", ["backend"]),
        ("net policy test --from h", ["host"]),
    ):
        asked = {
            "COMP_WORDS": f"volt {words}",
            "COMP_CWORD": str(len(f"volt {words}x".split()) - 1),
        }
        asked["_VOLT_COMPLETE"] = "complete_bash"
        # It gives up on an agent that does not answer at once, so that nobody's shell hangs.
        wait_until(lambda: site.volt(environment=asked).stdout.split() == found, words)  # noqa: B023
    site.volt("net", "firewall", "flush")
    site.volt("net", "policy", "delete", "some-policy")
