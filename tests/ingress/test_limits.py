"""How many connections are taken, and who gives way."""

from __future__ import annotations

import time

import pytest

from tests.ingress.bench import Bench, Peer, bench
from volt_agent.ingress.limits import Limits, affordable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELD = GET.replace(b"/ ", b"/held ")


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(64, 16), (1024, 384), (20_000, 7_500), (524_288, 20_000)],
)
def test_connections_leave_descriptors_to_the_others(descriptors: int, connections: int) -> None:
    """Each connection may need two; a part is never touched."""
    assert affordable(descriptors).connections == connections


def hesitant(peer: Peer, _number: int) -> None:
    """Answers everything but what is to be held."""
    while b"/held" not in peer.head():
        peer.send(OK)
    peer.rest()


def come(made: Bench, request: bytes) -> Peer:
    client = made.client()
    client.send(request)
    return client


def test_the_oldest_idle_connection_gives_way() -> None:
    """Behind however many busy ones it stands; where all are busy, nobody more is let in."""
    with bench(hesitant, limits=Limits(connections=100)) as made:
        for _ in range(98):
            come(made, HELD)
        idle = [come(made, GET), come(made, GET)]
        for each in idle:
            assert each.head() + each.exactly(2) == OK
        while made.do(lambda: sum(each.is_busy for each in made.proxy.clients)) < 98:
            time.sleep(0.01)
        late = [come(made, GET) for _ in range(2)]
        for each in late:
            assert each.head() + each.exactly(2) == OK
        assert all(each.is_closed() for each in idle)
