"""What a reload can change."""

from __future__ import annotations

import pytest

from volt_agent.config import Config, differences, parse
from volt_agent.config.changes import RESTART, leaves


def test_nothing_differs_from_itself() -> None:
    """A reload of an unchanged file changes nothing."""
    assert differences(Config(), parse(b"network: {mtu: 1500}")) == ((), ())


@pytest.mark.parametrize(
    ("text", "live", "needs_restart"),
    [
        ("network: {dns: {upstream: [9.9.9.9]}}", ("network.dns.upstream",), ()),
        ("network: {firewall: {host_allow: []}}", ("network.firewall.host_allow",), ()),
        ("network: {auto_connect: [netns]}", ("network.auto_connect",), ()),
        ("ingress: {health: {rise: 3}}", ("ingress.health.rise",), ()),
        ("ingress: {acme: {eab: {kid: a, hmac_key: bQ}}}", ("ingress.acme.eab",), ()),
        ("status: {listen: ''}", (), ("status.listen",)),
        (
            "network: {mtu: 1400, default_bridge: br0, dns: {search_domains: [x]}}",
            ("network.dns.search_domains",),
            ("network.default_bridge", "network.mtu"),
        ),
    ],
)
def test_differences(text: str, live: tuple[str, ...], needs_restart: tuple[str, ...]) -> None:
    """Every key that differs is named, as live or as one that needs a restart."""
    assert differences(Config(), parse(text.encode())) == (live, needs_restart)


def test_the_table_names_existing_keys() -> None:
    """A renamed key cannot silently become live."""
    assert set(RESTART) <= {path for path, _ in leaves(Config())}
