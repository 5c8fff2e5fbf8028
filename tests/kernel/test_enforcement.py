"""The kernel's own proof that policies can hold within one bridge."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from volt_agent.kernel import bridges
from volt_agent.kernel.enforcement import enforces_within_bridge
from volt_agent.kernel.netlink import Request

pytestmark = pytest.mark.kernel


def test_kernel_with_br_netfilter_enforces() -> None:
    """Seen in far less than a second, and nothing is left."""
    began = time.monotonic()
    here = os.readlink("/proc/thread-self/ns/net")
    assert asyncio.run(enforces_within_bridge()) is True
    assert time.monotonic() - began < 10
    assert os.readlink("/proc/thread-self/ns/net") == here


def test_bridge_that_hands_nothing_over_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel without br_netfilter."""
    plain = bridges.call_netfilter
    off: list[bool] = []

    def refuse(name: str, _on: bool) -> Request:
        off.append(True)
        with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w") as setting:
            setting.write("0")
        return plain(name, False)

    monkeypatch.setattr(bridges, "call_netfilter", refuse)
    assert asyncio.run(enforces_within_bridge()) is False
    assert off
