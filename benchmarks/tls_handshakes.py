"""What TLS costs the ingress beside nginx: handshakes, requests on kept connections, memory.

CPU time of one process on a core of its own. `python -m benchmarks.tls_handshakes serve FILE ORIGIN
PORT` is the ingress' side.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figures import Figures, options
from benchmarks.ingress_peers import OTHER_CORE, PROXY_CORE, Daemon, Field, free_port
from tests.ingress.authority import Authority, key_pem, pem_of, rsa_key
from volt_agent import process
from volt_agent.ingress.certificate import Files
from volt_agent.ingress.counters import Counters
from volt_agent.ingress.limits import Limits
from volt_agent.ingress.observer import Observer
from volt_agent.ingress.poller import Poller
from volt_agent.ingress.proxy import Proxy
from volt_agent.ingress.table import RouteTable
from volt_agent.ingress.targets import Endpoint, Target
from volt_agent.ingress.tls import load_usable
from volt_agent.model.route import Backend, Route

HOST = "localhost"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Ratios of CPU to nginx: 0.9 times its speed.
MOST = 1 / 0.9
CLIENTS = 16
IDLE, IDLE_MOST = 500, 18.0
VERSIONS = {"TLS 1.3": ssl.TLSVersion.TLSv1_3, "TLS 1.2": ssl.TLSVersion.TLSv1_2}


async def serve(file: str, origin: int, port: int) -> None:
    """The data path with one certificate."""
    poller = Poller()
    poller.start()
    proxy = Proxy(poller, Limits())
    proxy.observer = observer = Observer(Counters(poller.now))
    observer.log_to("/dev/null")
    target = Target("web")
    target.lead_to([Endpoint(("127.0.0.1", origin), "web:80")])
    route = Route("web", 1, HOST, "/", (Backend("web", 80),), tls="manual")
    proxy.table = RouteTable([route], {"web": target})
    context = load_usable(Files(file, file)).context
    proxy.context_for = lambda _server_name: context
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with socket.create_server(("127.0.0.1", port), backlog=4096) as sock:
        listener = proxy.listen_tls(sock)
        await stopped.wait()
        listener.close()
    await proxy.drain(0)
    observer.log_to(None)
    poller.close()


def main() -> None:
    quick = options(__doc__).quick
    count, rounds = (200, 3) if quick else (400, 7)
    os.sched_setaffinity(0, {OTHER_CORE})
    figures = Figures("TLS at the ingress, CPU beside nginx")
    authority = Authority()
    with Field() as field:
        for kind, key in (("ECDSA P-256", None), ("RSA 2048", rsa_key())):
            leaf, its_key = authority.issue(HOST, key=key)
            name = f"{kind.split()[0].lower()}.pem"
            path = field.room / name
            path.write_bytes(pem_of([leaf, authority.intermediate]) + key_pem(its_key))
            peers = ours(field, path), field.nginx_tls(name)
            for version in VERSIONS:
                compare_handshakes(figures, peers, f"{kind}, {version}", count, rounds)
        compare_requests(figures, field, peers, 1 if quick else 2, rounds)
        for each in peers:
            kilobytes = idle_bytes(each) / 1000
            figures.value(f"idle connection, {each.name}", kilobytes, "KB")
            if each.name == "volt":
                figures.limit("idle TLS connection in KB", kilobytes, IDLE_MOST)
    figures.finish()


def ours(field: Field, path: Path) -> Daemon:
    return field.start(
        "volt", PROXY_CORE, free_port(),
        sys.executable, "-m", "benchmarks.tls_handshakes", "serve", str(path), str(field.origin),
    )  # fmt: skip


def compare_handshakes(
    figures: Figures, peers: tuple[Daemon, Daemon], what: str, count: int, rounds: int
) -> None:
    version = VERSIONS[what.rpartition(", ")[2]]
    found: list[list[float]] = [[], []]
    for _ in range(rounds):
        for each, samples in zip(peers, found, strict=True):
            samples.append(handshakes(each, version, count))
    for each, samples in zip(peers, found, strict=True):
        figures.samples(f"handshake, {what}, {each.name}", samples, "us")
    ratio = statistics.median(a / b for a, b in zip(*found, strict=True))
    figures.limit(f"handshake, {what}, of nginx", ratio, MOST)


def compare_requests(
    figures: Figures, field: Field, peers: tuple[Daemon, Daemon], seconds: int, rounds: int
) -> None:
    found: list[list[float]] = [[], []]
    for _ in range(rounds):
        for each, samples in zip(peers, found, strict=True):
            samples.append(field.wrk(each, seconds, 64, host=HOST, at="https://127.0.0.1")[0])
    for each, samples in zip(peers, found, strict=True):
        figures.samples(f"small GET, 64 connections, {each.name}", samples, "us")
    ratio = statistics.median(a / b for a, b in zip(*found, strict=True))
    figures.limit("small GET over TLS, of nginx", ratio, MOST)


def client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def handshakes(proxy: Daemon, version: ssl.TLSVersion, count: int) -> float:
    """CPU us of the proxy for a connection, a full handshake, and the end."""
    context = client_context(version)

    def one(_number: int) -> None:
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as sock:
            context.wrap_socket(sock, server_hostname=HOST).close()

    before = proxy.cpu
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in clients.map(one, range(count)):
            pass
    return (proxy.cpu - before) / count * 1e6


def idle_bytes(proxy: Daemon) -> float:
    """Resident bytes for each connection that has made one request and waits."""
    context = client_context(ssl.TLSVersion.TLSv1_3)

    def one() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", proxy.port), 5)
        sock = context.wrap_socket(raw, server_hostname=HOST)
        sock.sendall(REQUEST)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        return sock

    warm = [one() for _ in range(50)]
    before = proxy.resident
    held = [one() for _ in range(IDLE)]
    after = proxy.resident
    for each in (*warm, *held):
        each.close()
    return (after - before) / IDLE


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        process.run(serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        main()
