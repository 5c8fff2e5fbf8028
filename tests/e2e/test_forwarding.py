"""Names of the outside, through the agent: dead, slow and lying upstream servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.host import OUTSIDE_ADDRESS, Host
from tests.support.machine import ROOM
from tests.support.process import wait_until
from tests.support.upstream_server import HONEST

CONFIG = ROOM / "config.yaml"
GATEWAY = "10.0.0.1"
SERVFAIL, REFUSED = 2, 5
# A guard for what is promised in 1.5 s: then a resolver asks anew (resolv.conf(5), "timeout").
RESOLVERS_GIVE_UP = 5.0
_DEAF = """
table inet deaf {
    chain in { type filter hook input priority 0; udp dport 53 drop; }
}
"""


class Outside:
    """A host with a workload `web`, and a server outside that logs what it is asked."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._log = host.path(ROOM / "upstream.log")
        with self._log.open("w") as log:
            self.server = host.start(
                *host.python("-m", "tests.support.upstream_server", OUTSIDE_ADDRESS),
                where="outside", stdin=-1, stdout=log,
            )  # fmt: skip
        wait_until(lambda: self._log.read_text().startswith("ready"), "the server is there")
        self.configure(OUTSIDE_ADDRESS)
        host.start_agent()
        host.connect("volt0", "web")

    def configure(self, *upstreams: str, more: str = "") -> None:
        self.host.path(CONFIG).write_text(
            f"network: {{dns: {{upstream: [{', '.join(upstreams)}]{more}}}}}"
        )

    def ask(
        self, name: str, count: int = 1, where: str = "web", gateway: str = GATEWAY
    ) -> list[Any]:
        """What `count` askers in a workload are told at once: rcode, addresses, seconds."""
        program = self.host.python("-m", "tests.support.many_askers", gateway, name, str(count))
        return list(json.loads(self.host.run(*program, where=where).stdout))

    def counted(self, kind: str) -> float:
        """What the agent has counted so far."""
        (line,) = (
            each
            for each in self.host.get("/metrics")[1].splitlines()
            if each.startswith(f'volt_dns_forwarding_total{{kind="{kind}"}}')
        )
        return float(line.split()[-1])

    def asked(self, name: str) -> int:
        """How often the server was asked for `name`."""
        return self._log.read_text().split().count(f"{name}.")


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with Host() as host:
        yield Outside(host)


@pytest.mark.parametrize("kind", ["dead", "wrongid", "wrongquestion", "wrongsource", "truncated"])
def test_no_answer_is_told_in_time(outside: Outside, kind: str) -> None:
    """Whatever the server does instead of answering: SERVFAIL within 1.5 s, and no lie."""
    ((rcode, addresses, seconds),) = outside.ask(f"{kind}-1.example.com")
    assert (rcode, addresses) == (SERVFAIL, [])
    assert seconds < RESOLVERS_GIVE_UP


def test_poison_is_left_out(outside: Outside) -> None:
    """Only what was asked for is told."""
    ((rcode, addresses, _),) = outside.ask("poisoned.example.com")
    assert (rcode, addresses) == (0, [HONEST])
    assert outside.ask("bank.example")[0][1] == [HONEST]


def test_answers_that_point_inside_are_refused(outside: Outside) -> None:
    """DNS rebinding."""
    assert outside.ask("inward.example.com")[0][:2] == [REFUSED, []]


def test_equal_questions_cause_one(outside: Outside) -> None:
    """200 askers of a slow name, one question upstream, 200 answers."""
    answers = outside.ask("slow-1.example.com", 200)
    assert [each[:2] for each in answers] == [[0, [HONEST]]] * 200
    assert outside.asked("slow-1.example.com") == 1


def test_stale_is_told_when_the_server_dies(outside: Outside) -> None:
    """Within 1.8 s, when the time of what was said is over (a second)."""
    assert outside.ask("kept.example.com")[0][:2] == [0, [HONEST]]
    answers = []

    def ask_until_stale() -> bool:
        answers.extend(outside.ask("kept.example.com"))
        return outside.counted("stale") > 0

    outside.host.run("nft", "-f", "-", where="outside", input=_DEAF)
    try:
        wait_until(ask_until_stale, "an answer is stale")
        assert [each[:2] for each in answers] == [[0, [HONEST]]] * len(answers)
        assert max(each[2] for each in answers) < RESOLVERS_GIVE_UP
    finally:
        outside.host.run("nft", "delete table inet deaf", where="outside")


def test_a_loop_is_named_in_one_line(outside: Outside) -> None:
    """An upstream server that is volt itself: the line says so, and the other one answers."""
    outside.host.call("net.create", name="backend", subnet="10.30.0.0/24")
    outside.configure("10.30.0.1", OUTSIDE_ADDRESS)
    outside.host.volt("agent", "reload")
    assert outside.ask("after-the-reload.example.com")[0][:2] == [0, [HONEST]]
    said = [each for each in outside.host.agent_log().splitlines() if "10.30.0.1:53" in each]
    assert len(said) == 1
    assert "volt itself" in said[0]
    assert "10.30.0.1:53 is volt itself" in outside.host.volt("net", "status").stdout


def test_isolated_networks_ask_nothing_outside(outside: Outside) -> None:
    """Unless the configuration says so."""
    outside.host.volt("net", "create", "inside", "--subnet", "10.50.0.0/24", "--no-nat")
    outside.host.connect("inside", "vault")
    vault = partial(outside.ask, "secret.example.com", where="vault", gateway="10.50.0.1")
    assert vault()[0][:2] == [REFUSED, []]
    assert outside.asked("secret.example.com") == 0
    outside.configure(OUTSIDE_ADDRESS, more=", forward_isolated: true")
    outside.host.volt("agent", "reload")
    assert vault()[0][:2] == [0, [HONEST]]
