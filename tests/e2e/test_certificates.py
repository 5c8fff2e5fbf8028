"""The handbook's Full Ingress Setup with certificates of a real CA, and what its user sees."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.acme import DIRECTORY, Pebble
from tests.support.certificate_site import HOSTS, SETUP, Site, start_load, stop_load
from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.web import Web, get

pytestmark = pytest.mark.kernel

# Seconds that short certificates are good for: renewed after two thirds of it.
SHORT = 21


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
