"""A host with the handbook's workloads and a CA outside, for tests of automatic certificates."""

from __future__ import annotations

import json
import shlex
from typing import Any

from .acme import Pebble
from .host import HOST_ADDRESS, Host
from .process import Process, wait_until

# Twenty times what three of them take.
ISSUED_WITHIN = 60
HOSTS = ("app.example.com", "api.example.com", "ws.example.com")
SETUP = (
    """volt ingress create --name web \\
    --hostname app.example.com \\
    --backend web:8080 \\
    --tls auto""",
    """volt ingress create --name api \\
    --hostname api.example.com \\
    --path /v1 \\
    --backend api:3000 \\
    --tls auto""",
    """volt ingress create --name ws \\
    --hostname ws.example.com \\
    --backend realtime:9000 \\
    --tls auto""",
)


class Site:
    """A host with the handbook's workloads, and a CA."""

    def __init__(self, host: Host, pebble: Pebble) -> None:
        self.host, self.pebble = host, pebble
        self.said: list[str] = []  # by the three commands

    def volt(self, line: str, status: int = 0) -> str:
        """What a command line prints; backslashes join lines, as in a shell."""
        words = shlex.split(line.replace("\\\n", "").removeprefix("volt "))
        done = self.host.volt(*words, check=False)
        assert done.returncode == status, (line, done.stdout, done.stderr)
        return done.stderr if status else done.stdout

    def create(self, host: str) -> None:
        """A route to `web` with an automatic certificate, called by the first label of `host`."""
        name = host.partition(".")[0]
        self.host.call(
            "ingress.create", name=name, hostname=host, backends=["web:8080"], tls="auto"
        )

    def delete(self, name: str) -> None:
        self.host.call("ingress.delete", name=name)

    def certificate(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = self.host.call("ingress.cert.inspect", host=host)
        return found

    def await_state(self, host: str, state: str, within: float = ISSUED_WITHIN) -> dict[str, Any]:
        """Wait until the certificate of `host` is in a state."""

        def look() -> dict[str, Any] | None:
            found = self.certificate(host)
            return found if found["state"] == state else None

        return wait_until(look, f"the certificate of {host} is {state}", within)

    def await_words(self, host: str, words: str) -> None:
        """Wait until the state of a certificate has these words in it."""
        wait_until(lambda: words in self.certificate(host)["status"], words, ISSUED_WITHIN)

    def await_another(self, host: str, serial: str, within: float = 60) -> None:
        """Wait until another certificate than the one with this serial number is in use."""
        wait_until(
            lambda: self.certificate(host)["serial"] not in (serial, None), "another one", within
        )

    def get(self, host: str, path: str = "/") -> str:
        """The answer over TLS to a client that trusts nothing but the CA's root."""
        root = self.write_root()
        asked = ("-si", "--max-time", "10", "--cacert", root, "--connect-to", "::192.0.2.1:443")
        return self.host.run("curl", *asked, f"https://{host}{path}", where="outside").stdout

    def write_root(self) -> str:
        path = self.host.room / "root.pem"
        self.host.path(path).write_text(self.pebble.root())
        return str(path)

    def configure(self, more: str = "") -> None:
        """`more` are lines for the section `ingress`."""
        config = self.pebble.config() + "".join(f"  {line}\n" for line in more.splitlines())
        self.host.path(self.host.room / "config.yaml").write_text(config)

    def events(self, host: str) -> list[str]:
        """What happened to a certificate, by the names of the events."""
        return [each["event"] for each in self.host.events() if each.get("host") == host]


def start_load(site: Site, clients: int, *hosts: str) -> Process:
    """See `tests.support.tls_load`."""
    arguments = (HOST_ADDRESS, site.write_root(), str(clients), *hosts)
    program = site.host.python("-m", "tests.support.tls_load", *arguments)
    load = site.host.start(*program, where="outside", stdin=-1, stdout=-1)
    assert load.stdout.readline() == "ready\n"
    return load


def stop_load(load: Process) -> dict[str, Any]:
    load.stdin.close()
    report: dict[str, Any] = json.loads(load.stdout.read())
    load.wait()
    return report
