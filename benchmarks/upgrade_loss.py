"""What clients notice of upgrades: nothing. Beside it nginx and Caddy, reloaded as often.

Keep-alive clients, tunnels that check every byte, TLS clients, 500 questions/s and 200 datagrams/s
between two workloads go through an agent of which one generation after another takes over.
"""

from __future__ import annotations

from benchmarks import reload_loss
from benchmarks.figures import Figures, options, percentile
from tests.e2e.conftest import make_pair
from tests.support.certificates import write_certificate
from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import wait_until
from tests.support.web import Web, get

UPGRADES, CLIENTS, TLS_CLIENTS, TUNNELS = 100, 200, 20, 200
RATE = 2  # requests a second of each client: two cores have to bear all of it
PAUSE_MS = 30.0


def main() -> None:
    upgrades = 5 if options(__doc__).quick else UPGRADES
    figures = Figures(f"{upgrades} upgrades under load")
    with Host() as host:
        host.start_agent()
        make_pair(host)
        origin = Web(host, "serve", "host:9000")
        volt(host, upgrades, figures)
        import os

        os._exit(0)
        report, workers = reload_loss.nginx(host, upgrades)
        reload_loss.show(figures, "nginx", report, limited=False)
        figures.value("nginx: processes afterwards, of 2", workers, "")
        reload_loss.show(figures, "Caddy", reload_loss.caddy(host, upgrades), limited=False)
        origin.stop()
    figures.finish()


def volt(host: Host, upgrades: int, figures: Figures) -> None:
    """Upgrades under all of the load, and what became of it."""
    _make_routes(host)
    address = host.address_of("db")
    datagrams = host.traffic.start_stream("udp", source="web", target=address, port=80, rate=200)
    questions = host.traffic.start_stream(
        "dns", source="web", server="10.30.0.1", name="db", address=address, rate=500
    )
    plain = _load(host, 80, CLIENTS, TUNNELS)
    encrypted = _load(host, 443, TLS_CLIENTS, 0)
    pauses, waits = [], []
    for number in range(upgrades):
        host.volt("agent", "upgrade", within=120)
        wait_until(
            lambda: "took over" in host.agent_log().rpartition("has taken over")[2], "it took over"
        )
        found = host.call("status")["hand_over"]
        assert host.call("status")["generation"] == number + 2
        pauses.append(found["pause_ms"])
        waits.append(found["changes_waited_ms"])
    host.traffic.await_stream(questions)
    sent, asked = [host.traffic.stop_stream(each) for each in (datagrams, questions)]
    figures.samples("volt: longest pause of a connection", pauses)
    figures.limit("pause of a connection, p99, ms", percentile(pauses, 0.99), PAUSE_MS)
    figures.samples("volt: changes wait", waits)
    reload_loss.show(figures, "volt", plain.stop(), limited=True)
    for what, count in encrypted.stop().items():
        figures.value(f"volt, TLS: requests, {what}", count, "")
    figures.value("volt: longest wait for a name, ms", asked["longest_gap_ms"], "")
    figures.limit("questions lost or wrong", asked["lost"] + asked["wrong"], 0)
    figures.limit("datagrams lost", sent["lost"], 0)


def _make_routes(host: Host) -> None:
    write_certificate(host.path(host.room), "app", ["app.example.com"])
    certificate = {"cert": f"{host.room}/app.pem", "key": f"{host.room}/app.key"}
    host.call(
        "ingress.create", name="plain", hostname="app.example.com", backends=[reload_loss.ORIGIN]
    )
    host.call(
        "ingress.create", name="tls", hostname="app.example.com", backends=[reload_loss.ORIGIN],
        tls="manual", **certificate,
    )  # fmt: skip
    wait_until(lambda: " 200 " in get(host, "app.example.com"), "the route serves")


def _load(host: Host, port: int, clients: int, tunnels: int) -> Web:
    # From the host itself, as for nginx.
    place = f"{HOST_ADDRESS}:{port}"
    return Web(host, "load", place, f"{clients}@{RATE}", str(tunnels), "app.example.com")


if __name__ == "__main__":
    main()
