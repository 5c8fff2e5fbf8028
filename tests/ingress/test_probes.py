"""Checks on real sockets, and what they do to endpoints."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from tests.support.ports import closed_address
from volt_agent.config import HealthSection
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.probes import Prober
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.model.route import Backend, Route

QUICK = HealthSection(interval=0.2, timeout=30.0)
ROUTE = Route("web", 1, "a.example", "/", (Backend("web", 80),))
WITH_PATH = Route("web", 1, "a.example", "/", (Backend("web", 80),), health_path="/up")
WITHIN = 60.0


@asynccontextmanager
async def prober(settings: HealthSection = QUICK) -> AsyncIterator[Prober]:
    poller = Poller()
    poller.start()
    made = Prober(poller, settings)
    try:
        yield made
    finally:
        made.close()
        poller.close()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=256)


def admitted(made: Prober, address: tuple[str, int], route: Route = ROUTE) -> Endpoint:
    endpoint = Endpoint(address, "web:80", is_usable=False)
    target = Target("web")
    made.admit(route, target, endpoint)
    target.lead_to([endpoint])
    return endpoint


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


def test_a_new_backend_is_used_after_its_first_pass() -> None:
    """Not before, and then without waiting for the interval."""

    async def test() -> None:
        with listening() as sock:
            async with prober(HealthSection(interval=3600.0)) as made:
                endpoint = admitted(made, sock.getsockname())
                assert not endpoint.is_usable
                await until(lambda: endpoint.is_usable)
                assert made.judge(endpoint) == ("healthy", None)

    run(test)


def test_a_workload_that_begins_to_listen_is_found_soon() -> None:
    """Long before the interval is over."""

    async def test() -> None:
        address = closed_address()
        async with prober(HealthSection(interval=3600.0)) as made:
            endpoint = admitted(made, address)
            await until(lambda: made.standing(endpoint).failures >= 1)
            with socket.create_server(address):
                await until(lambda: endpoint.is_usable)

    run(test)


def test_a_backend_goes_and_comes_back() -> None:
    """Its target follows; who asks gets the reason."""

    async def test() -> None:
        seen = []
        async with prober() as made:
            made.on_change = lambda each, standing: seen.append((each, standing.state))
            with listening() as sock:
                address = sock.getsockname()
                endpoint = Endpoint(address, "web:80", is_usable=False)
                target = Target("web")
                target.lead_to([endpoint])
                made.admit(ROUTE, target, endpoint)
                await until(lambda: target.usable == (endpoint,))
            await until(lambda: target.usable == ())
            assert made.judge(endpoint) == ("unhealthy", "connection refused")
            with socket.create_server(address):
                await until(lambda: target.usable == (endpoint,))
        assert seen == [(endpoint, "healthy"), (endpoint, "unhealthy"), (endpoint, "healthy")]

    run(test)


def test_requests_put_a_backend_out_and_a_check_brings_it_back() -> None:
    """Without waiting for the interval."""

    async def test() -> None:
        with listening() as sock:
            async with prober(HealthSection(interval=3600.0)) as made:
                endpoint = admitted(made, sock.getsockname())
                await until(lambda: endpoint.is_usable)
                made.note(endpoint, False)
                made.note(endpoint, True)
                made.note(endpoint, False)
                assert endpoint.is_usable
                made.note(endpoint, False)
                assert made.judge(endpoint) == ("unhealthy", "requests to it failed")
                await until(lambda: endpoint.is_usable)

    run(test)


def test_an_answer_ends_a_row_of_failures() -> None:
    """Bad results with good requests between them are not in a row."""

    async def test() -> None:
        with listening() as sock:
            async with prober(HealthSection(interval=60.0, fall=2)) as made:
                endpoint = admitted(made, sock.getsockname())
                await until(lambda: endpoint.is_usable)
                for _ in range(3):
                    made.note(endpoint, False)
                    assert endpoint.is_doubted
                    made.note(endpoint, True)
                    assert not endpoint.is_doubted
                assert endpoint.is_usable

    run(test)


def test_one_check_serves_all_who_ask_the_same() -> None:
    """The second endpoint is usable at once; the check ends with the last one."""

    async def test() -> None:
        with listening() as sock:
            async with prober() as made:
                first = admitted(made, sock.getsockname())
                await until(lambda: first.is_usable)
                second = admitted(made, sock.getsockname())
                assert second.is_usable
                assert repr(made) == "<Prober [1 checks, 0 under way]>"
                made.dismiss(first)
                assert made.judge(second) == ("healthy", None)
                made.dismiss(second)
                assert repr(made) == "<Prober [0 checks, 0 under way]>"

    run(test)


async def serve(answer: bytes) -> tuple[asyncio.Server, list[bytes]]:
    heads: list[bytes] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        for at in range(0, len(answer), 7):
            writer.write(answer[at : at + 7])
            await writer.drain()
        writer.close()

    return await asyncio.start_server(client, "127.0.0.1", 0), heads


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "healthy", None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "healthy", None),
        (b"HTTP/1.0 302 Found\r\nLocation: /login\r\n\r\n", "healthy", None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "unhealthy", "it answers 404"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "unhealthy", "it answers 503"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "unhealthy", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000, "unhealthy", "its answer is not HTTP"),
        (b"", "unhealthy", "it closes the connection without an answer"),
    ],
)
def test_a_path_is_asked_for(answer: bytes, state: str, reason: str | None) -> None:
    """At a host of the route; 2xx and 3xx pass."""

    async def test() -> None:
        server, heads = await serve(answer)
        async with server, prober() as made:
            endpoint = admitted(made, server.sockets[0].getsockname(), WITH_PATH)
            await until(lambda: made.judge(endpoint)[0] != "checking")
            assert made.judge(endpoint) == (state, reason)
            assert heads[0] == (
                b"GET /up HTTP/1.1\r\nHost: a.example\r\nUser-Agent: volt-health\r\n"
                b"Accept: */*\r\nConnection: close\r\n\r\n"
            )

    run(test)


def test_a_silent_backend_is_given_up() -> None:
    """One that accepts, or not even that, and says nothing."""

    async def test() -> None:
        with listening() as sock:
            async with prober(HealthSection(timeout=0.1, fall=1)) as made:
                endpoint = admitted(made, sock.getsockname(), WITH_PATH)
                await until(lambda: made.judge(endpoint)[0] == "unhealthy")
                assert made.judge(endpoint)[1] == "no answer within 0.1 s"

    run(test)


def test_running_out_of_descriptors_says_nothing_about_backends() -> None:
    """Whoever was healthy stays so."""

    async def test() -> None:
        with listening() as sock:
            async with prober(HealthSection(interval=0.1, fall=1)) as made:
                endpoint = admitted(made, sock.getsockname())
                await until(lambda: endpoint.is_usable)
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
                try:
                    for _ in range(100):  # half a second: several intervals
                        await asyncio.sleep(0.005)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert made.judge(endpoint) == ("healthy", None)

    run(test)


def test_thousands_of_checks_do_not_hold_the_loop() -> None:
    """All are done, a few at a time, at tens of microseconds each."""

    async def test() -> None:
        port, gaps = closed_address()[1], [0.0]
        async with prober(HealthSection(interval=3600.0)) as made:
            endpoints = [
                admitted(made, (f"127.1.{each >> 8}.{each & 255}", port)) for each in range(2_000)
            ]
            while not all(made.standing(each).failures for each in endpoints):
                started = time.thread_time()
                await asyncio.sleep(0)
                gaps.append(time.thread_time() - started)
            assert max(gaps) < 0.1

    run(test)
