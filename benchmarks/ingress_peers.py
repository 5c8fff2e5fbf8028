"""nginx, HAProxy and volt's data path as reverse proxies on loopback, one process each; and wrk."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers import UNPACKED, find

# The proxies share a core with nobody; what makes and answers the requests has the other one.
PROXY_CORE, OTHER_CORE = 1, 0
_NGINX = """
daemon off; master_process off; worker_processes 1; pid {room}/{name}.pid;
error_log {room}/{name}.log crit;
events {{ worker_connections 8000; }}
http {{
  access_log {log}; keepalive_requests 100000000; keepalive_timeout 75; client_max_body_size 0;
  client_body_temp_path {room}/{name}-body; proxy_temp_path {room}/{name}-proxy;
  fastcgi_temp_path {room}/{name}-f; uwsgi_temp_path {room}/{name}-u; 
  scgi_temp_path {room}/{name}-s;
  {http}
}}
"""
_ORIGIN = """
  server {{ listen 127.0.0.1:{port} backlog=4096; root {room}/files; sendfile on; tcp_nopush on;
    location = / {{ default_type text/plain; return 200 "hello, world\\n"; }} }}
"""
_PROXY = """
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 100000000; }}
  upstream bodies {{ server 127.0.0.1:{bodies}; keepalive 1024; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    proxy_request_buffering off; proxy_buffering on; proxy_max_temp_file_size 0;
    location / {{ proxy_pass http://origin; }}
    location /post {{ proxy_pass http://bodies; }} }}
"""
_TLS = """
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} ssl backlog=4096; proxy_http_version 1.1;
    ssl_certificate {room}/{certificate}; ssl_certificate_key {room}/{certificate};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers off; ssl_ecdh_curve X25519:P-256;
    proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    location / {{ proxy_pass http://origin; }} }}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 75s
  timeout server 30s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  http-request set-header X-Forwarded-Proto http
  use_backend bodies if {{ path_beg /post }}
  default_backend origin
backend origin
  server o 127.0.0.1:{origin} pool-max-conn 1024
backend bodies
  server o 127.0.0.1:{bodies} pool-max-conn 1024
"""
SCRIPTS = {
    "unique": (
        "local n = 0\nrequest = function()\n  n = n + 1\n"
        '  return wrk.format("GET", "/", {["Cookie"]="s=" .. n, ["X-Request-Id"]="r" .. n,'
        ' ["User-Agent"]="bench", ["Accept"]="*/*"})\nend\n'
    ),
    "paths": (
        "local n = 0\nrequest = function()\n  n = n + 1\n"
        '  return wrk.format("GET", "/?" .. n, {["User-Agent"]="bench", ["Accept"]="*/*"})\nend\n'
    ),
    "close": 'wrk.headers["Connection"] = "close"\n',
    "post": 'wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\n',
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Daemon:
    """A process on one core; `cpu` is its time so far in seconds."""

    def __init__(self, name: str, core: int, port: int, *command: str) -> None:
        libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*")))
        self.name, self.port = name, port
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
        self._await()

    def _await(self) -> None:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except ConnectionError:
                time.sleep(0.05)
        self.close()
        sys.exit(f"{self.name} does not listen")

    @property
    def cpu(self) -> float:
        # The CPU clock of another process (clock_getcpuclockid(3)).
        return time.clock_gettime((~self._process.pid << 3) | 2)

    @property
    def resident(self) -> int:
        """Bytes."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Field:
    """An origin, the proxies before it, and wrk."""

    def __init__(self) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="volt-bench-")
        room = Path(self._room.name)
        (room / "files").mkdir()
        (room / "files" / "64k").write_bytes(b"x" * 65536)
        (room / "files" / "10m").write_bytes(b"x" * 10_485_760)
        room.chmod(0o755)
        for name, script in SCRIPTS.items():
            (room / f"{name}.lua").write_text(script)
        self.room = room
        self._daemons: list[Daemon] = []
        self.origin, self.bodies = free_port(), free_port()
        self._nginx("origin", OTHER_CORE, self.origin, _ORIGIN)
        self.start(
            "bodies", OTHER_CORE, self.bodies, sys.executable, "-m", "benchmarks.ingress_origin"
        )

    def _nginx(self, name: str, core: int, port: int, http: str) -> Daemon:
        values = {"room": self.room, "name": name, "port": port, "origin": self.origin}
        # It writes a line for each request, as we do.
        values["log"] = "off" if name == "origin" else "/dev/null combined buffer=64k"
        http = http.format(**values, bodies=self.bodies)
        path = self.room / f"{name}.conf"
        path.write_text(_NGINX.format(**values, http=http))
        command = (find("nginx"), "-p", str(self.room), "-c", str(path), "-e", "/dev/null")
        return self._take(Daemon(name, core, port, *command))

    def _take(self, daemon: Daemon) -> Daemon:
        self._daemons.append(daemon)
        return daemon

    def start(self, name: str, core: int, port: int, *command: str) -> Daemon:
        return self._take(Daemon(name, core, port, *command, str(port)))

    def nginx(self) -> Daemon:
        return self._nginx("nginx", PROXY_CORE, free_port(), _PROXY)

    def nginx_tls(self, certificate: str) -> Daemon:
        """Over TLS; `certificate` is a file in `room` with the key in it."""
        http = _TLS.replace("{certificate}", certificate)
        return self._nginx(f"nginx-{certificate}", PROXY_CORE, free_port(), http)

    def haproxy(self) -> Daemon:
        port = free_port()
        path = self.room / "haproxy.cfg"
        path.write_text(_HAPROXY.format(port=port, origin=self.origin, bodies=self.bodies))
        return self._take(
            Daemon("haproxy", PROXY_CORE, port, find("haproxy"), "-q", "-f", str(path))
        )

    def volt(self, routes: int = 1) -> Daemon:
        name = "volt" if routes == 1 else f"volt with {routes} routes"
        return self.start(
            name, PROXY_CORE, free_port(),
            sys.executable, "-m", "benchmarks.ingress_proxy",
            str(self.origin), str(self.bodies), str(routes),
        )  # fmt: skip

    def wrk(
        self, proxy: Daemon, seconds: float, connections: int, path: str = "/", script: str = "",
        host: str = "h0.example.com", at: str = "http://127.0.0.1",
    ) -> tuple[float, float, float]:  # fmt: skip
        """CPU us of the proxy for each request, requests per second, and p99 in ms."""
        command = [
            "taskset", "-c", str(OTHER_CORE), find("wrk"), "-t1", f"-c{connections}", "--latency",
            f"-d{seconds}s", "--timeout", "10s", "-H", f"Host: {host}",
        ]  # fmt: skip
        if script:
            command += ["-s", str(self.room / f"{script}.lua")]
        libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*")))
        before = proxy.cpu
        result = subprocess.run(
            [*command, f"{at}:{proxy.port}{path}"],
            capture_output=True, text=True, check=True,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        ).stdout  # fmt: skip
        used = proxy.cpu - before
        made = re.search(r"(\d+) requests in ([\d.]+)s", result)
        assert made is not None, result
        if bad := re.search(r"Non-2xx.*|Socket errors: .*", result):
            print(f"    {proxy.name}: {bad[0]}")
        late = re.search(r"99%\s+([\d.]+)(us|ms|s)", result)
        assert late is not None, result
        scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[late[2]]
        count = max(1, int(made[1]))
        return used / count * 1e6, count / float(made[2]), float(late[1]) * scale

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in reversed(self._daemons):
            each.close()
        self._room.cleanup()
