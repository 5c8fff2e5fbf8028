"""What changes of routes cost: lost requests and tunnels under load, and the time of one change.

50 keep-alive clients and 200 tunnels go through the ingress of a private host while 100 routes come
or go and 20 reloads happen; beside it nginx and Caddy, whose configuration is replaced as often.
Then routes are added where there are 1,000 already.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.figures import Figures, options
from benchmarks.peers import UNPACKED, find
from tests.support.host import HOST_ADDRESS, Host
from tests.support.machine import ROOM
from tests.support.process import wait_until
from tests.support.web import Web
from volt_agent.bus import Bus
from volt_agent.ingress.server import Ingress
from volt_agent.ingress.settings import IngressSettings
from volt_agent.model.route import IngressPorts
from volt_agent.registry import Registry
from volt_agent.rules.route import Asked, create_route
from volt_agent.service import ServiceManager
from volt_agent.store import SqliteStore

CLIENTS, TUNNELS = 50, 200
CHANGES, RELOADS = 100, 20
MANY = 1000
ORIGIN = "127.0.0.1:9000"
CADDY_CONTROL = "127.0.0.1:2019"
_NGINX = """
daemon off; worker_processes 1; pid {room}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {room}/nginx-b; proxy_temp_path {room}/nginx-p;
  fastcgi_temp_path {room}/nginx-f; uwsgi_temp_path {room}/nginx-u; scgi_temp_path {room}/nginx-s;
  map $http_upgrade $upgraded {{ default upgrade; "" ""; }}
  upstream origin {{ server 127.0.0.1:9000; keepalive 64; }}
  server {{ listen 8081; server_name app.example.com;
    location / {{ proxy_pass http://origin; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgraded; }} }}
  {routes}
}}
"""


def main() -> None:
    quick = options(__doc__).quick
    changes, reloads = (CHANGES // 5, RELOADS // 5) if quick else (CHANGES, RELOADS)
    figures = Figures(f"{changes} changes and {reloads} reloads under load; one of {MANY} routes")
    with Host() as host:
        host.start_agent()
        origin = Web(host, "serve", "host:9000")
        show(figures, "volt", volt(host, changes, reloads), limited=True)
        report, workers = nginx(host, changes + reloads)
        show(figures, "nginx", report, limited=False)
        figures.value("nginx: processes afterwards, of 2", workers, "")
        show(figures, "Caddy", caddy(host, changes + reloads), limited=False)
        origin.stop()
    for what, samples in asyncio.run(additions(20 if quick else 200)).items():
        median = figures.samples(what, samples)
        if what == "in the agent, until it is in the table":
            figures.limit("one route more at 1,000, ms", median, 1.0)
    figures.finish()


def volt(host: Host, changes: int, reloads: int) -> Mapping[str, int]:
    """What clients notice of changes of other routes."""
    host.call("ingress.create", name="app", hostname="app.example.com", backends=[ORIGIN])

    def change(number: int) -> None:
        if number % 2 == 0:
            host.call(
                "ingress.create", name="x", hostname=f"x{number}.example.com", backends=[ORIGIN]
            )
        else:
            host.call("ingress.delete", name="x")
        if number % (changes // reloads) == 0:
            host.call("ingress.reload")

    def change_all() -> None:
        for number in range(changes):
            change(number)

    return under_load(host, 80, change_all)


def nginx(host: Host, reloads: int) -> tuple[Mapping[str, int], int]:
    """The same for reloads of nginx; also how many of its processes there are in the end."""
    path = ROOM / "nginx.conf"

    def write(routes: int) -> None:
        servers = "".join(
            f"server {{ listen 8081; server_name x{number}.example.com; return 200; }}\n"
            for number in range(routes)
        )
        host.path(path).write_text(_NGINX.format(room=ROOM, routes=servers))

    write(1)
    libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*")))
    process = host.start(
        find("nginx"), "-c", str(path), "-p", str(ROOM), "-e", "/dev/null", "-g", "user root;",
        environment={"LD_LIBRARY_PATH": libraries},
    )  # fmt: skip
    wait_until(lambda: _listens(host, 8081), "nginx listens", 10)
    workers = 0

    def reload() -> None:
        nonlocal workers
        for number in range(reloads):
            write(number + 1)
            process.send(signal.SIGHUP)
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = 1 + len(children.read_text().split())

    report = under_load(host, 8081, reload)
    process.end(within=20)
    return report, workers


def caddy(host: Host, reloads: int) -> Mapping[str, int]:
    """The same for configurations that Caddy is given over its control port."""
    path = ROOM / "caddy.json"

    def write(routes: int) -> None:
        proxied = {"handler": "reverse_proxy", "upstreams": [{"dial": ORIGIN}]}
        hosts = ["app.example.com", *(f"x{number}.example.com" for number in range(routes))]
        made = [{"match": [{"host": [each]}], "handle": [proxied]} for each in hosts]
        server = {"listen": [":8082"], "automatic_https": {"disable": True}, "routes": made}
        config = {
            "admin": {"listen": CADDY_CONTROL, "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "PANIC"}}},
            "apps": {"http": {"servers": {"all": server}}},
        }
        host.path(path).write_text(json.dumps(config))

    write(1)
    process = host.start(
        find("caddy"), "run", "--config", str(path), stderr=subprocess.DEVNULL,
        environment={"HOME": str(ROOM)},
    )  # fmt: skip
    wait_until(lambda: _listens(host, 8082), "Caddy listens", 10)

    def reload() -> None:
        for number in range(reloads):
            write(number + 1)
            host.run(
                "curl", "-sf", "-H", "Content-Type: application/json", "--data", f"@{path}",
                f"http://{CADDY_CONTROL}/load",
            )  # fmt: skip

    report = under_load(host, 8082, reload)
    process.end(within=20)
    return report


def _listens(host: Host, port: int) -> bool:
    return f":{port} " in host.run("ss", "-Hltn").stdout


def under_load(host: Host, port: int, change: Callable[[], object]) -> Mapping[str, int]:
    # From the host itself: the firewall does not know nginx.
    load = Web(
        host, "load", f"{HOST_ADDRESS}:{port}", str(CLIENTS), str(TUNNELS), "app.example.com"
    )
    change()
    return load.stop()


def show(figures: Figures, who: str, report: Mapping[str, int], *, limited: bool) -> None:
    answered, again = report.get("200", 0), report.get("asked again", 0)
    tunnel_failures = sum(n for what, n in report.items() if what.startswith("tunnel failed"))
    kept = report.get("tunnels", 0)
    failed = sum(report.values()) - answered - again - kept - tunnel_failures
    figures.value(f"{who}: requests answered", answered, "")
    figures.value(f"{who}: requests cut, to be asked again", again, "")
    figures.value(f"{who}: requests failed", failed, "")
    figures.value(f"{who}: tunnels dropped, of {TUNNELS}", TUNNELS - kept, "")
    if limited:
        figures.limit("requests cut or failed", again + failed, 0)
        figures.limit("tunnels dropped", TUNNELS - kept, 0)


async def additions(count: int) -> Mapping[str, list[float]]:
    """Milliseconds of each of `count` routes that are added to MANY."""
    with tempfile.TemporaryDirectory() as room:
        store = SqliteStore(Path(room))
        registry = Registry(store)
        await registry.open()
        ports = IngressPorts(enabled=False)
        ingress = Ingress(IngressSettings(ports), ServiceManager({}), Bus(), Path(room) / "certs")
        ingress.open(registry.snapshot)
        registry.add_follower("ingress", ingress)
        planes, commits, disk = [], [], []
        for number in range(MANY + count):
            asked = Asked(name=f"r{number}", hostname=f"h{number}.example.com", backends=[ORIGIN])
            began = time.perf_counter()
            commit = await registry.commit(lambda now, asked=asked: create_route(now, asked))  # type: ignore[misc]
            if number >= MANY:
                planes.append(commit.planes_ms["ingress"])
                commits.append((time.perf_counter() - began) * 1e3)
                disk.append(commit.planes_ms["store"])
            await asyncio.sleep(0)
        await ingress.close(0)
        await store.close()
    return {
        "in the agent, until it is in the table": planes,
        "of that change, the disk": disk,
        "the whole change, with the disk": commits,
    }


if __name__ == "__main__":
    main()
