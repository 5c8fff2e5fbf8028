"""Automatic certificates over minutes, and of CAs in different moods: `make test-long`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.acme import Pebble
from tests.support.certificate_site import HOSTS, SETUP, Site, start_load, stop_load
from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.web import Web

pytestmark = [pytest.mark.kernel, pytest.mark.long]


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
