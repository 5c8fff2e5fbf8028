"""Tunnels go on after the proxy was killed, if somebody holds them; if not, they go as before."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingress.bench import Origin, Peer
from tests.ingress.test_carry import BLOB, echoes, is_empty, move, relay, tunnel, upgraded
from tests.ingress.test_pipes import until
from tests.support.machine import ROOT
from volt_agent.handover.holder import NAME
from volt_agent.ingress.keeper import HolderKeeper

# A proxy on a listening socket that it inherits, with one route to an origin.
PROXY = """
import asyncio, socket, sys
from pathlib import Path
from volt_agent.ingress.keeper import HolderKeeper
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.proxy import Proxy
from volt_agent.ingress.table import RouteTable
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.model.route import Backend, Route

async def main(listening, port, path):
    poller = Poller()
    poller.start()
    proxy = Proxy(poller, Limits())
    target = Target("web")
    target.lead_to([Endpoint(("127.0.0.1", port), "web:80")])
    proxy.table = RouteTable([Route("web", 1, "*", "/", (Backend("web", 80),))], {"web": target})
    keeper = HolderKeeper(proxy, Path(path), {"web": target}.get)
    proxy.keeper = keeper
    assert keeper.start()
    proxy.listen(listening)
    await asyncio.Event().wait()

asyncio.run(main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3]))
"""
KILLS = 5
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


class Holding:
    """A holder, as a process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        module = "volt_agent.handover.holder"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self.path)], env=ENVIRONMENT
        )
        until(self.answers)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            return not sock.connect_ex(str(self.path))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Holding]:
    made = Holding(tmp_path / NAME)
    yield made
    made.kill()


class Killable:
    """The proxy as a process that is killed and started again on the same listening socket."""

    def __init__(self, origin: Origin, holder: Path) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()
        self._command = [sys.executable, "-c", PROXY, str(self._listening.fileno())]
        self._command += [str(origin.address[1]), str(holder)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, pass_fds=[self._listening.fileno()], env=ENVIRONMENT
        )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._listening.close()


def test_tunnels_survive_kills(holding: Holding) -> None:
    """Full tunnels in both directions, and an idle one: killed again and again, every byte comes
    back once and in order; a new connection waits meanwhile. In the end nothing is held."""
    origin = Origin(tunnel(echoes))
    before = holding.descriptors()
    proxy = Killable(origin, holding.path)
    try:
        busy, idle = (upgraded(Peer(socket.create_connection(proxy.address, 60))) for _ in range(2))
        sender = threading.Thread(target=busy.send, args=(BLOB,))
        sender.start()
        got = bytearray()
        until(lambda: holding.descriptors() >= before + 5)  # two tunnels and the agent itself
        for _ in range(KILLS):
            got += busy.exactly(len(BLOB) // (KILLS + 1))
            proxy.kill()
            waiting = Peer(socket.create_connection(proxy.address, 60))
            proxy.start()
            upgraded(waiting).send(b"new")
            assert waiting.exactly(3) == b"new"
            waiting.close()
        got += busy.exactly(len(BLOB) - len(got))
        sender.join()
        assert got == BLOB
        idle.send(b"still here")
        assert idle.exactly(10) == b"still here"
        for each in (idle, busy):
            each.sock.shutdown(socket.SHUT_WR)
            assert each.is_closed()
            each.close()
        until(lambda: holding.descriptors() == before + 1)
    finally:
        proxy.close()
        origin.close()
    assert not origin.failures


def test_a_killed_holder_costs_nothing_but_the_promise(holding: Holding) -> None:
    """Tunnels go on; once a holder is there again it is given them."""
    with relay(tunnel(echoes)) as (made, _other):
        keeper = HolderKeeper(made.proxy, holding.path, {"web": made.target}.get)
        made.proxy.keeper = keeper
        assert made.do(keeper.start)
        client = upgraded(made.client())
        until(lambda: made.do(lambda: len(keeper._keys)))
        holding.kill()
        until(lambda: made.do(lambda: len(keeper._waiting)))
        client.send(b"x")
        assert client.exactly(1) == b"x"
        holding.start()
        until(lambda: made.do(lambda: len(keeper._keys)))
        client.close()
        until(lambda: is_empty(made))
        made.do(keeper.close)


def test_a_held_tunnel_moves(holding: Holding) -> None:
    """From proxy to proxy as any other; then the second one has it held."""
    with relay(tunnel(echoes)) as (old, new):
        keepers = []
        for each in (old, new):
            keeper = HolderKeeper(each.proxy, holding.path, {"web": each.target}.get)
            each.proxy.keeper = keeper
            assert each.do(keeper.start)
            keepers.append(keeper)
        client = upgraded(old.client())
        assert move(old, new) == 1
        until(lambda: new.do(lambda: len(keepers[1]._keys)))
        assert not keepers[0]._keys
        client.send(b"x")
        assert client.exactly(1) == b"x"
        client.close()
        until(lambda: is_empty(new))
        old.do(keepers[0].close)
        new.do(keepers[1].close)


def test_without_a_holder_there_is_none(tmp_path: Path) -> None:
    with relay(tunnel(echoes)) as (made, _other):
        keeper = HolderKeeper(made.proxy, tmp_path / NAME, {"web": made.target}.get)
        assert not made.do(keeper.start)
