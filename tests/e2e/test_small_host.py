"""A host without netbase, as small images are: no /etc/protocols."""

from __future__ import annotations

import pytest

from tests.support.host import Host

pytestmark = pytest.mark.kernel


def test_no_names_of_protocols(host: Host) -> None:
    """Rules, policies and forwards of every protocol are loaded, and all of them at once."""
    host.run("mount", "--bind", "/dev/null", "/etc/protocols")
    host.start_agent()
    host.call("net.create", name="backend", subnet="10.30.0.0/24")
    for name in ("web", "db"):
        host.call("net.connect", network="backend", workload=name)
    for proto in ("tcp", "udp", "icmp", "any"):
        port = {"port": "80,8000-9000"} if proto in ("tcp", "udp") else {}
        rule = {"name": proto, "source": "any", "dest": "web", "proto": proto, "action": "accept"}
        host.call("net.firewall.add", **rule, **port)
    pair = {"from": "web", "to": "db", "port": "80", "action": "allow"}
    host.call("net.policy.create", name="one", **pair)
    host.call("net.port.add", host_port=8053, target="web", target_port=53, proto="udp")
    host.stop_agent()
    host.start_agent()
    assert len(host.call("net.firewall.list")) > 4
    assert " error" not in host.agent_log()
