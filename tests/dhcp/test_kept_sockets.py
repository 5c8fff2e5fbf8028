"""What clients ask while the agent is not there is answered by the next one."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.process import wait_until
from tests.support.service import Service
from volt_agent.dhcp.message import Kind

from .guests import Guest

pytestmark = pytest.mark.kernel


def test_a_question_in_between_is_answered() -> None:
    """The service manager keeps the packet sockets: a DISCOVER outlives a crash of the agent."""
    with Host() as host:
        service = Service(host, *host.agent_command)
        try:
            service.order("start")
            host.volt("net", "create", "backend", "--subnet", "10.30.0.0/24")
            guest = Guest(host, "early", "volt-backend")
            with guest.client() as client:
                assert "dhcp-backend" in service.order("kill")["store"]
                asked = client.send(Kind.DISCOVER)
                service.order("start")
                offer = wait_until(lambda: client.reply_to(asked), "the offer", 10)
                assert client.select(offer).kind == Kind.ACK
            guest.leave()
            host.volt("net", "delete", "backend")
            assert "dhcp-backend" not in service.order("state")["store"]
        finally:
            service.close()
