"""Other firewalls on the host: what of theirs drops volt's traffic, and what heals it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.firewall.lab import DB, SNAPSHOT, Lab
from tests.firewall.objects import forward, policy
from tests.support.traffic import Outcome
from volt_agent.firewall.coexistence import Coexistence
from volt_agent.firewall.foreign import patterns
from volt_agent.model.snapshot import Change

pytestmark = pytest.mark.kernel

RULESETS = Path(__file__).parent / "foreign"
TOOLS = {"docker": "Docker", "ufw": "ufw", "firewalld": "firewalld"}
SOON = 0.7

# Same network, out, the name server of the host, and into a workload through a forward.
TRAFFIC = (
    ("web", "10.0.0.6", "tcp", 80),
    ("web", "192.0.2.2", "tcp", 80),
    ("web", "10.0.0.1", "udp", 53),
    ("outside", "192.0.2.1", "tcp", 8000),
)
# Docker leaves the host alone; firewalld lets in whatever anybody forwards.
BROKEN = {
    "docker": (False, False, True, False),
    "ufw": (False, False, False, False),
    "firewalld": (False, False, False, True),
}


# What volt denies, whoever lets it through: a policy, another network, from outside to a workload.
DENIED = (
    ("web", "10.0.0.10", "tcp", 80),
    ("web", "10.30.0.5", "tcp", 80),
    ("outside", "10.0.0.5", "tcp", 80),
)


@pytest.fixture(scope="module")
def bed() -> Iterator[Lab]:
    bed = Lab()
    for name in ("web", "app", "db", "cache", "outside", "other", "host"):
        bed.run(bed.traffic.serve(bed.path(name), (80,), (53,)))
    to_web, to_db = forward("tcp 8000", "web", 80), policy("one", "allow", "app", "db", "tcp 22")
    bed.load(SNAPSHOT.apply(Change(put=(DB, to_web, to_db))))
    yield bed
    bed.close()


@pytest.fixture
def watch(bed: Lab) -> Iterator[Coexistence]:
    yield Coexistence(bed.nft, lambda: [each.bridge for each in SNAPSHOT.networks.values()])
    for table in ("ip filter", "inet firewalld"):
        bed.run(bed.nft.run(f"add table {table}\ndelete table {table}\n"))


def tries(bed: Lab, ways: tuple[tuple[str, str, str, int], ...] = TRAFFIC) -> tuple[bool, ...]:
    return tuple(each.answered for each in attempt(bed, ways))


def attempt(bed: Lab, ways: tuple[tuple[str, str, str, int], ...]) -> list[Outcome]:
    attempts = [
        {"source": bed.path(source), "target": target, "protocol": protocol, "port": port}
        for source, target, protocol, port in ways
    ]
    return msgspec.convert(bed.run(bed.traffic.probe(attempts, SOON)), list[Outcome])


@pytest.mark.parametrize("tool", TOOLS)
def test_what_it_breaks_is_found_and_healed_by_the_printed_commands(
    bed: Lab, watch: Coexistence, tool: str
) -> None:
    """Its real ruleset breaks volt's traffic; the commands mend that, and open nothing else."""
    assert tries(bed) == (True,) * 4
    assert bed.run(watch.look()) == ()
    bed.run(bed.nft.run((RULESETS / f"{tool}.nft").read_text()))
    assert tries(bed) == BROKEN[tool]
    found = bed.run(watch.look())
    assert {each.tool for each in found} == {TOOLS[tool]}
    for command in (command for each in found for command in each.commands):
        bed.sh("host", "sh", "-c", command)
    assert tries(bed) == (True,) * 4
    assert tries(bed, DENIED) == (False,) * 3
    assert bed.run(watch.look()) == ()


def test_forwards_come_before_those_of_others(bed: Lab) -> None:
    """Where two translate the same port of the host, volt's forward is the one that counts."""
    to_other = "tcp dport 8000 dnat to 172.31.0.5:80"
    theirs = "type nat hook prerouting priority -100;"
    bed.run(bed.nft.run(f"table ip theirs {{ chain pre {{ {theirs}\n{to_other}\n}}\n}}\n"))
    try:
        (outcome,) = attempt(bed, (("outside", "192.0.2.1", "tcp", 8000),))
        drops = bed.drops()
        assert (outcome.answered, outcome.seen_as) == (True, "192.0.2.2")
        bed.remove(forward("tcp 8000", "web", 80))
        (outcome,) = attempt(bed, (("outside", "192.0.2.1", "tcp", 8000),))
        # With their forward alone it is theirs: what is not volt's is not dropped.
        assert (outcome.answered, bed.drops()) == (True, drops)
    finally:
        bed.change(forward("tcp 8000", "web", 80))
        bed.run(bed.nft.run("delete table ip theirs\n"))


def test_commands_of_docker(bed: Lab, watch: Coexistence) -> None:
    """They go where Docker leaves room for users."""
    bed.run(bed.nft.run((RULESETS / "docker.nft").read_text()))
    (found,) = bed.run(watch.look())
    assert found.commands == (
        'nft insert rule ip filter DOCKER-USER iifname "volt*" accept',
        'nft insert rule ip filter DOCKER-USER oifname "volt*" accept',
    )
    assert str(found) == "Docker: chain FORWARD of table ip filter"


def test_a_published_port_of_docker_is_known(bed: Lab, watch: Coexistence) -> None:
    """What listens on that port of the host is not reached: certificates need to know."""
    here, rule = "192.0.2.1", 'iifname != "docker0" tcp dport 80 dnat to 172.17.0.2:80'
    base = "type nat hook prerouting priority -100; fib daddr type local jump DOCKER"
    chains = f"chain DOCKER {{\n{rule}\n}}\nchain PREROUTING {{\n{base}\n}}\n"
    bed.run(bed.nft.run(f"table ip nat {{\n{chains}}}\n"))
    try:
        bed.run(watch.look())
        assert watch.who_takes(80, [here]) == "Docker: chain DOCKER of table ip nat"
        assert watch.who_takes(443, [here]) is None
    finally:
        bed.run(bed.nft.run("delete table ip nat\n"))
    bed.run(watch.look())
    assert watch.who_takes(80, [here]) is None


@pytest.mark.parametrize(
    "text",
    [
        "table ip x { chain c { type filter hook forward priority 0; policy accept;\n"
        "iifname docker0 drop\n}\n}\n",
        "table ip x { chain c { type filter hook forward priority 0; policy drop;\n accept\n}\n}\n",
        "table ip x { chain c { type filter hook forward priority 0; policy drop;\n"
        'iifname "volt*" accept\noifname "volt*" accept\n}\n}\n',
        "table ip6 x { chain c { type filter hook forward priority 0; policy drop;\n}\n}\n",
        "table ip x { chain c { type filter hook output priority 0; policy drop;\n}\n}\n",
    ],
    ids=["special", "accepted first", "healed", "IPv6", "output"],
)
def test_harmless_chains_are_not_named(bed: Lab, watch: Coexistence, text: str) -> None:
    """Only what drops volt's traffic is worth a warning."""
    bed.run(bed.nft.run(text))
    try:
        assert bed.run(watch.look()) == ()
    finally:
        family = text.split()[1]
        bed.run(bed.nft.run(f"delete table {family} x\n"))


def test_bridges_by_other_names_are_named() -> None:
    """The default bridge may be called anything."""
    assert patterns(["volt0", "volt-backend", "br0"]) == ("br0", "volt*")
