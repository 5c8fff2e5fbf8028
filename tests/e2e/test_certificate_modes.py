"""Certificates of a real CA that is slow and choosy, that forgets, and on a disk that is full."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.acme import Pebble
from tests.support.host import HOST_ADDRESS, Host, RpcError
from tests.support.process import wait_until

pytestmark = pytest.mark.kernel

HOSTS = ("app.example.com", "api.example.com", "ws.example.com")
WITHIN = 60.0  # seconds; ten times what it takes
SECRET = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Site:
    """A host whose agent uses a CA of a certain mind. `limit` is the size of its disk."""

    def __init__(self, host: Host, limit: str | None = None, more: str = "", **mind: Any) -> None:
        self.host, self.pebble = host, Pebble(host, **mind)
        host.path(host.room / "config.yaml").write_text(self.pebble.config(more))
        self.state_dir = host.room / "state"
        self.folder = self.state_dir / "certs"
        host.path(self.folder).mkdir(mode=0o700, parents=True)
        if limit is not None:
            host.run("mount", "-t", "tmpfs", "-o", f"size={limit},mode=0700", "-", str(self.folder))
        self.start()

    def start(self) -> None:
        self.host.start_agent("--state-dir", str(self.state_dir))

    def create(self, *hosts: str) -> None:
        for each in hosts:
            name = each.partition(".")[0]
            self.host.call(
                "ingress.create", name=name, hostname=each, backends=["10.0.0.9:80"], tls="auto"
            )

    def certificate(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = self.host.call("ingress.cert.inspect", host=host)
        return found

    def await_state(self, state: str, *hosts: str) -> None:
        wait_until(
            lambda: all(self.certificate(each)["state"] == state for each in hosts),
            f"{hosts} are {state}",
            WITHIN,
        )

    def served(self, host: str) -> str:
        """The serial of the certificate that a client is shown."""
        command = f"echo | openssl s_client -connect {HOST_ADDRESS}:443 -servername {host}"
        shown = self.host.run(
            "sh", "-c", f"{command} 2>/dev/null | openssl x509 -noout -serial", where="outside"
        )
        return shown.stdout.strip().removeprefix("serial=").lower().lstrip("0")


@pytest.mark.long
def test_a_ca_that_is_slow_and_choosy(host: Host) -> None:
    """Half of all nonces refused, validation that takes its time, a long chain, nothing reused, and
    accounts by invitation only: three of three. When it has forgotten everything, too."""
    eab = f"eab: {{kid: kid-1, hmac_key: {SECRET}}}"
    site = Site(host, None, eab, nonce_reject=50, sleep=2, chain=3, reuse=0, eab={"kid-1": SECRET})
    site.create(*HOSTS)
    site.await_state("valid", *HOSTS)
    assert (site.pebble.accounts, site.pebble.orders) == (1, 3)
    for each in HOSTS:
        assert site.served(each) == site.certificate(each)["serial"].lstrip("0")
        assert len(site.certificate(each)["chain"]) == 4
    site.pebble.stop()
    site.pebble.start()
    site.create("late.example.com")
    site.await_state("valid", "late.example.com")
    assert site.pebble.orders == 4


def test_a_full_disk(host: Host) -> None:
    """Nothing is ordered that could not be kept; the old certificate serves, also after a restart;
    with room again all is well."""
    (name, *_), site = HOSTS, Site(host, limit="64k")
    site.create(name)
    site.await_state("valid", name)
    old = site.served(name)
    filler = f"{site.folder}/filler"
    host.run("sh", "-c", f"cat /dev/zero > {filler}", check=False)
    host.call("ingress.cert.renew", host=name, force=True)
    site.await_state("failed", name)
    assert "No space left" in site.certificate(name)["reason"]
    assert (site.served(name), site.pebble.orders) == (old, 1)
    host.stop_agent()
    site.start()
    assert (site.served(name), site.certificate(name)["state"]) == (old, "valid")
    host.run("rm", filler)
    host.call("ingress.cert.renew", host=name, force=True)
    wait_until(lambda: site.served(name) not in ("", old), "another certificate", WITHIN)
    with pytest.raises(RpcError, match="fresh"):
        host.call("ingress.cert.renew", host=name)
