"""The handbook's Full Ingress Setup with certificates of a real CA, and what its user sees."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.acme import DIRECTORY, Pebble
from tests.support.host import HOST_ADDRESS, Host
from tests.support.process import Process, wait_until
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

# Seconds that short certificates are good for: renewed after two thirds of it.
SHORT = 21
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


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The CA refuses every other nonce, has a chain of several, and never uses anything again."""
    with Host() as host:
        site = Site(host, Pebble(host, nonce_reject=50, chain=3))
        site.configure()
        host.start_agent()
        host.connect("volt0", "web", "api", "realtime")
        servers = Web(host, "serve", "web:8080", "api:3000", "realtime:9000")
        site.said = [site.volt(line) for line in SETUP]
        for each in HOSTS:
            site.await_state(each, "valid")
        yield site
        servers.stop()


def test_the_full_setup(site: Site) -> None:
    """Three commands that return at once, three certificates, one account; HTTPS with them."""
    for said in site.said:
        assert re.search(r"^certificate: (issuing|valid until 2\d{3}-)", said, re.MULTILINE), said
    assert site.get("app.example.com", "/x").startswith("HTTP/1.1 200")
    assert "api\nGET /v1/y" in site.get("api.example.com", "/v1/y").replace("\r", "")
    assert "realtime\n" in site.get("ws.example.com")
    assert site.pebble.accounts == 1
    assert [site.events(each).count("certificate.ordered") for each in HOSTS] == [1, 1, 1]
    assert "Location: https://app.example.com/z" in get(site.host, "app.example.com", "/z")
    for route in site.host.volt_json("ingress", "list"):
        assert re.fullmatch(r"valid until 2\d{3}-\d\d-\d\d", route["certificate"])
    assert "valid until 2" in site.volt("volt ingress list")
    site.volt("volt ingress status")


def test_what_happened_is_told(site: Site) -> None:
    """Each step is an event; counts and expiries are metrics."""
    steps = ["certificate.ordered", "certificate.challenged", "certificate.issued"]
    assert site.events("app.example.com")[:3] == steps
    (account,) = site.host.events("certificate.account")
    assert account["directory"] == DIRECTORY
    metrics = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(site.host.get("/metrics")[1])
        for sample in family.samples
    }
    assert metrics["volt_ingress_certificate_attempts_total", "issued"] >= 3
    assert metrics["volt_ingress_certificate_attempts_total", "failed"] == 0
    for host in HOSTS:
        assert metrics["volt_ingress_certificate_expiry_timestamp_seconds", host] > 1.7e9


def test_the_certificates_can_be_looked_at(site: Site) -> None:
    """By host or by route; as a table and as JSON."""
    rows = site.volt("volt ingress cert list").splitlines()
    assert rows[0].split()[:4] == ["HOST", "TLS", "STATE", "EXPIRES"]
    assert {row.split()[0] for row in rows[1:]} >= set(HOSTS)
    found = json.loads(site.volt("volt ingress cert inspect api -o json"))
    assert (found["host"], found["tls"], found["routes"]) == ("api.example.com", "auto", ["api"])
    assert found["names"] == ["api.example.com"]
    assert found["key"] == "ECDSA secp256r1"
    assert found["directory"] == DIRECTORY
    assert "Pebble Intermediate" in found["issuer"]
    assert site.host.path(found["key_file"]).stat().st_mode & 0o777 == 0o600
    asked = {"COMP_WORDS": "volt ingress cert inspect ap", "COMP_CWORD": "4"}
    offered = site.host.volt(environment={"_VOLT_COMPLETE": "complete_bash", **asked}).stdout
    assert {"app.example.com", "api.example.com"} == set(offered.split())
    assert "no certificate for 'nobody'" in site.volt("volt ingress cert inspect nobody", 3)


def test_wildcards_are_refused_with_the_reason(site: Site) -> None:
    """Before anything is stored."""
    line = "volt ingress create --name all --hostname '*.example.com' --backend web:80 --tls auto"
    assert "DNS challenge" in site.volt(line, status=2)


def test_a_fresh_certificate_is_renewed_by_force_only(site: Site) -> None:
    """The refusal says until when it is fresh; --force orders, and the new one is used."""
    site.create("fresh.example.com")
    before = site.await_state("fresh.example.com", "valid")["serial"]
    orders = site.pebble.orders
    assert "--force" in site.volt("volt ingress cert renew fresh.example.com", 1)
    assert site.pebble.orders == orders
    assert "ordered" in site.volt("volt ingress cert renew fresh.example.com --force")
    site.await_another("fresh.example.com", before)
    assert "certificate.renewed" in site.events("fresh.example.com")


def test_deleting_keeps_a_certificate_unless_it_is_revoked(site: Site) -> None:
    """A route that comes back orders nothing; the CA knows of a revocation."""
    site.create("tmp.example.com")
    serial = site.await_state("tmp.example.com", "valid")["serial"]
    orders = site.pebble.orders
    site.delete("tmp")
    site.create("tmp.example.com")
    assert site.await_state("tmp.example.com", "valid")["serial"] == serial
    assert "revoked" in site.volt("volt ingress delete --name tmp --revoke")
    assert site.pebble.status(serial) == "Revoked"
    assert site.pebble.orders == orders
    site.create("tmp.example.com")
    assert site.await_state("tmp.example.com", "valid")["serial"] != serial
    site.delete("tmp")


def test_wrong_dns_is_named_without_an_order(site: Site) -> None:
    """By the command itself, in the list, in status and by the doctor."""
    orders = site.pebble.orders
    said = site.volt(
        "volt ingress create --name missing --hostname missing.example.com --backend web:8080"
        " --tls auto"
    )
    reasons = {"missing": "has no missing.example.com", "empty": "no address", "forbidden": "CAA"}
    for label in ("empty", "forbidden"):
        site.create(f"{label}.example.com")
    for label, words in reasons.items():
        status = site.await_state(f"{label}.example.com", "failed")["status"]
        assert re.match(r"failed: .*, next try \d\d:\d\d$", status)
        assert words in status
    assert site.pebble.orders == orders
    assert "certificate: failed: " in said or "certificate: issuing" in said
    listed, shown, examined = (
        site.host.volt(*line.split(), check=False).stdout
        for line in ("ingress list", "status", "doctor")
    )
    for label, words in reasons.items():
        assert words in listed
        assert f"certificate of {label}.example.com: failed" in shown
        assert re.search(rf"^fail +certificates +{label}.example.com: ", examined, re.MULTILINE)
    assert "had no certificate" in site.volt("volt ingress delete --name missing --revoke")
    for label in ("empty", "forbidden"):
        site.delete(label)


def test_an_address_elsewhere_is_only_a_warning(site: Site) -> None:
    """The order goes out; what DNS says is told besides."""
    site.create("elsewhere.example.com")
    wait_until(lambda: site.certificate("elsewhere.example.com")["warnings"], "a warning", 20)
    (warning,) = site.certificate("elsewhere.example.com")["warnings"]
    assert "203.0.113.9" in warning
    site.delete("elsewhere")


def test_a_port_80_that_leads_elsewhere(site: Site) -> None:
    """Named, with who has it, and without an order."""
    forward = {"host_port": "80", "proto": "tcp"}
    site.configure("http_port: 8080")
    site.host.call("agent.reload")
    site.host.call("net.port.add", target="api", target_port="3000", **forward)
    orders = site.pebble.orders
    site.create("lost.example.com")
    reason = site.await_state("lost.example.com", "failed")["reason"]
    assert "port 80" in reason
    assert "api" in reason
    assert site.pebble.orders == orders
    site.delete("lost")
    site.host.call("net.port.delete", **forward)
    site.configure()
    site.host.call("agent.reload")


def test_a_ca_that_is_down(site: Site) -> None:
    """One reason; the certificates that are there go on to be used; it is tried again by hand."""
    trusted = site.write_root()
    site.pebble.stop()
    site.create("late.example.com")
    found = site.await_state("late.example.com", "failed")
    assert "\n" not in found["reason"]
    assert found["next_try"]
    asked = ("-si", "--cacert", trusted, "--connect-to", "::192.0.2.1:443")
    old = site.host.run("curl", *asked, "https://app.example.com/", where="outside").stdout
    assert old.startswith("HTTP/1.1 200")
    site.pebble.start()
    site.host.call("ingress.cert.renew", host="late.example.com", force=True)
    site.await_state("late.example.com", "valid")


def test_renewal_under_load(site: Site) -> None:
    """By itself: no request fails, no handshake sees a certificate that has expired."""
    site.pebble.stop()
    site.pebble.start(SHORT)
    site.create("short.example.com")
    serial = site.await_state("short.example.com", "valid")["serial"]
    load = start_load(site, 4, "short.example.com")
    site.await_another("short.example.com", serial, 10 * SHORT)
    report = stop_load(load)
    assert report["failures"] == {}
    assert len(report["serials"]) >= 2
    assert report["handshakes"] > 10


@pytest.mark.long
@pytest.mark.parametrize(
    "mode", [{"nonce_reject": 50}, {"sleep": 8}, {"chain": 4}, {"reuse": 0}, {"reuse": 100}]
)
def test_moods_of_a_ca(mode: dict[str, Any]) -> None:
    """Three of three; ordered once more by force, three of three again."""
    with Host() as host:
        site = Site(host, Pebble(host, **mode))
        site.configure()
        host.start_agent()
        for line in SETUP:
            site.volt(line)
        first = {each: site.await_state(each, "valid", 60)["serial"] for each in HOSTS}
        host.call("ingress.cert.renew", force=True)
        for each in HOSTS:
            site.await_another(each, first[each])
        assert (site.pebble.accounts, site.pebble.orders) == (1, 6)


@pytest.mark.long
def test_five_minutes_of_short_certificates() -> None:
    """Certificates of 90 s, three hosts, renewed by themselves five times each: no request fails,
    no handshake sees one that has expired."""
    with Host() as host:
        site = Site(host, Pebble(host, lifetime=90))
        site.configure()
        host.start_agent()
        host.connect("volt0", "web", "api", "realtime")
        servers = Web(host, "serve", "web:8080", "api:3000", "realtime:9000")
        for line in SETUP:
            site.volt(line)
        for each in HOSTS:
            site.await_state(each, "valid")
        load = start_load(site, 6, *HOSTS)
        wait_until(
            lambda: all(site.events(each).count("certificate.renewed") >= 5 for each in HOSTS),
            "five renewals of each",
            500,
        )
        report = stop_load(load)
        servers.stop()
        assert site.pebble.accounts == 1
    assert report["failures"] == {}
    assert len(report["serials"]) >= 15


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


@pytest.mark.long
def test_the_ingress_alone_gets_certificates() -> None:
    """`volt ingress serve` at high ports: it mentions that CAs ask at port 80, and goes on."""
    with Host() as host:
        site = Site(host, Pebble(host, http_port=8080))
        site.configure()
        ports = ("--http-port", "8080", "--https-port", "8443")
        process = host.start(*host.agent_command[:1], "ingress", "serve", *ports)
        host.await_ready()
        site.volt(
            "volt ingress create --name a --hostname a.example.com --backend 127.0.0.1:1 --tls auto"
        )
        found = site.await_state("a.example.com", "valid")
        assert any("port 80" in each for each in found["warnings"])
        assert site.pebble.status(found["serial"]) == "Valid"
        assert process.end() == 0


@pytest.mark.long
def test_wrong_settings_are_named_and_healed_by_a_reload() -> None:
    """An account that the CA has to give, a key that is not its, a CA bundle that is not there."""
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    right = f"eab: {{kid: ours, hmac_key: {key}}}"
    with Host() as host:
        pebble = Pebble(host, eab={"ours": key})
        site, config = Site(host, pebble), host.path(host.room / "config.yaml")
        config.write_text(pebble.config())
        host.start_agent()
        site.create("a.example.com")
        for text, words in (
            (pebble.config(), "externalAccountBinding"),
            (pebble.config("eab: {kid: ours, hmac_key: c2VjcmV0}"), "JWS verification"),
            (pebble.config(right).replace("ca.pem", "nowhere.pem"), "nowhere.pem cannot be read"),
            (pebble.config(right).replace("ca_bundle:", "# "), "set ingress.acme.ca_bundle"),
        ):
            config.write_text(text)
            host.call("agent.reload")
            site.await_words("a.example.com", words)
        config.write_text(pebble.config(right))
        host.call("agent.reload")
        site.await_state("a.example.com", "valid")
        assert (pebble.accounts, pebble.orders) == (1, 1)
