"""An ACME CA for tests: pebble, Debian's, outside of a private host, and the public DNS it asks.

    with Host() as host:
        pebble = Pebble(host, lifetime=90)
        host.path(host.room / "config.yaml").write_text(pebble.config())
        host.start_agent()

It ends with the host. Its log tells what it was asked for: `accounts`, `orders`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..ingress.authority import Authority, pem_of
from .inside import HOST_ADDRESS, OUTSIDE_ADDRESS
from .machine import ROOM, ROOT, Machine
from .process import Process, wait_until

BINARY = ROOT / ".cache/authority/usr/bin/pebble"
# Inside of the host: what pebble needs, and the CA of its own certificate.
FOLDER = ROOM / "pebble"
CA_BUNDLE = FOLDER / "ca.pem"
PORT, MANAGEMENT = 14000, 15000


class Names:
    """The public DNS: every name leads to the host, but for those of `public_names.ANSWERS`."""

    def __init__(self, machine: Machine, address: str = OUTSIDE_ADDRESS, port: int = 53) -> None:
        self.place = f"{address}:{port}"
        program = machine.python("-m", "tests.support.public_names", self.place, HOST_ADDRESS)
        self._process = machine.start(*program, where="outside", stdin=-1, stdout=-1)
        assert self._process.stdout.readline() == "ready\n", "the public DNS did not come up"


class Pebble:
    """A CA at https://192.0.2.2:14000/dir, which validates through port 80 of the host.

    `lifetime` of its certificates in seconds; `nonce_reject` per cent of good nonces are refused;
    it waits up to `sleep` seconds before it validates; `reuse` per cent of valid authorisations
    are used again; `chain` certificates stand between leaf and root; `eab` are the keys of external
    accounts by their names, which are then required.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        lifetime: int | None = None,
        nonce_reject: int = 0,
        sleep: int = 0,
        reuse: int = 0,
        chain: int = 1,
        eab: Mapping[str, str] | None = None,
        http_port: int = 80,
    ) -> None:
        assert BINARY.exists(), "pebble is not there: scripts/set-up test"
        self._machine = machine
        self.names = Names(machine)
        folder = machine.path(FOLDER)
        folder.mkdir()
        authority = Authority()
        authority.files(folder, OUTSIDE_ADDRESS, stem="server")
        machine.path(CA_BUNDLE).write_bytes(pem_of([authority.root]))
        self._settings = _settings(eab, http_port)
        self._environment = {
            "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
            "PEBBLE_AUTHZREUSE": str(reuse),
            "PEBBLE_CHAIN_LENGTH": str(chain),
            **({"PEBBLE_VA_SLEEPTIME": str(sleep)} if sleep else {"PEBBLE_VA_NOSLEEP": "1"}),
        }
        self.start(lifetime)

    def start(self, lifetime: int | None = None) -> None:
        """Run it; a new one knows nothing of the accounts and orders of the one before."""
        short = {} if lifetime is None else {"certificateValidityPeriod": lifetime}
        path = self._machine.path(FOLDER / "config.json")
        path.write_text(json.dumps({"pebble": self._settings | short}))
        command = [str(BINARY), "-config", f"{FOLDER}/config.json", "-dnsserver", self.names.place]
        with self._log_path.open("a") as log:
            self._process: Process = self._machine.start(
                *command,
                where="outside",
                stdout=log,
                stderr=log,
                environment=self._environment,
            )
        wait_until(self._answers, "pebble answers", 20)

    def stop(self) -> None:
        """End it: the CA is down."""
        self._process.end()

    def config(self, more: str = "") -> str:
        """A config.yaml with which volt uses this CA; `more` are lines for `ingress.acme`."""
        return (
            f"network:\n  dns:\n    upstream: ['{self.names.place}']\n"
            f"ingress:\n  acme:\n    directory: {DIRECTORY}\n    ca_bundle: {CA_BUNDLE}\n"
            + "".join(f"    {line}\n" for line in more.splitlines())
        )

    # ---- what it has done -----------------------------------------------------------------------

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    @property
    def orders(self) -> int:
        """How many orders it has taken, of all its lives."""
        return len(re.findall(r"Added order ", self.log))

    @property
    def accounts(self) -> int:
        """How many accounts were made, of all its lives."""
        return len(re.findall(r"There are now \d+ accounts in memory", self.log))

    def root(self) -> str:
        """The root of the certificates that it issues, in PEM. Another one in each of its lives."""
        return self._management("roots/0")

    def status(self, serial: str) -> str:
        """Valid or Revoked; `serial` in hexadecimal."""
        found: str = json.loads(self._management(f"cert-status-by-serial/{serial}"))["Status"]
        return found

    def _management(self, path: str) -> str:
        place = f"https://{OUTSIDE_ADDRESS}:{MANAGEMENT}/{path}"
        return self._machine.run("curl", "-sfk", place, where="outside").stdout

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        place = f"https://{OUTSIDE_ADDRESS}:{PORT}/dir"
        return not self._machine.run("curl", "-sfk", place, where="outside", check=False).returncode

    @property
    def _log_path(self) -> Path:
        return self._machine.path(ROOM / "pebble.log")


DIRECTORY = f"https://{OUTSIDE_ADDRESS}:{PORT}/dir"


def _settings(eab: Mapping[str, str] | None, http_port: int) -> dict[str, object]:
    return {
        "listenAddress": f"{OUTSIDE_ADDRESS}:{PORT}",
        "managementListenAddress": f"{OUTSIDE_ADDRESS}:{MANAGEMENT}",
        "certificate": f"{FOLDER}/server.pem",
        "privateKey": f"{FOLDER}/server.key",
        "httpPort": http_port,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": eab is not None,
        "externalAccountMACKeys": dict(eab or {}),
    }
