"""Names while workloads come and go, and while others take more than their share."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

GATEWAY = "10.30.0.1"
RATE = 200  # questions per second


@pytest.mark.parametrize(
    "rounds", [50, pytest.param(1000, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_workload_that_comes_and_goes(pair: Host, rounds: int) -> None:
    """Every question is answered; the name is there or gone, never anything else, never late.

    Each start and each stop turns the answer once: an answer from before would turn it twice more.
    """
    address = pair.address_of("db")
    asking = {"source": "web", "server": GATEWAY, "rate": RATE}
    changing = pair.traffic.start_stream("changing name", name="db", address=address, **asking)
    steady = pair.traffic.start_stream("dns", name="web", address=pair.address_of("web"), **asking)
    for _ in range(rounds):
        pair.do("vanish", name="db", server=GATEWAY, within=60)
        pair.traffic.await_progress([changing], 3)
        pair.do("appear", name="db", server=GATEWAY, address=address, within=60)
        pair.traffic.await_progress([changing], 3)
    report, beside = pair.traffic.stop_stream(changing), pair.traffic.stop_stream(steady)
    assert (report["lost"], report["wrong"], beside["lost"], beside["wrong"]) == (0, 0, 0, 0)
    assert report["flips"] == 2 * rounds


_IDLERS = """
import socket, sys
held = [socket.create_connection((sys.argv[1], 53)) for _ in range(200)]
print("ready", flush=True)
sys.stdin.read()
"""


def test_idle_connections_keep_nobody_out(pair: Host) -> None:
    """200 of them, and both their owner and somebody else are answered over TCP."""
    idlers = pair.start(*pair.python("-c", _IDLERS, GATEWAY), where="web", stdin=-1, stdout=-1)
    assert idlers.stdout.readline() == "ready\n"
    for asker in ("web", "db", "host"):
        answer = pair.traffic.query(asker, GATEWAY, "db", protocol="tcp")
        assert answer["records"][0]["data"] == pair.address_of("db")
    idlers.stdin.close()
    assert idlers.wait() == 0


_FLOOD = """
import socket, sys, time
from tests.support.names_on_wire import question
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], 53))
packets, end = [question(f"x{i}.volt.local") for i in range(1000)], time.monotonic() + 3
while time.monotonic() < end:
    for packet in packets:
        try:
            sock.send(packet)
        except BlockingIOError:
            pass
"""


def test_a_flood_of_one_workload_starves_nobody(pair: Host) -> None:
    """It asks for names that do not exist as fast as it can; another one gets its answers."""
    flood = pair.start(*pair.python("-c", _FLOOD, GATEWAY), where="web")
    stream = pair.traffic.start_stream(
        "dns", source="db", server=GATEWAY, name="db", address=pair.address_of("db"), rate=50
    )
    wait_until(lambda: flood.poll() is not None, "the flood is over")
    report = pair.traffic.stop_stream(stream)
    assert report["wrong"] == 0
    assert report["lost"] <= report["sent"] * 0.05
