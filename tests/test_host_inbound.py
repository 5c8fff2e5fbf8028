"""What the host lets in: the configuration resolved, and the listeners that are closed by it."""

from __future__ import annotations

from volt_agent.config import FirewallSection, HostAllow
from volt_agent.host_inbound import closed_listeners, host_policy
from volt_agent.kernel.host import Listener
from volt_agent.model.host import HostPolicy, HostPort

SSH = HostPort("tcp", 2222, 2222)


def test_ssh_means_the_ports_that_sshd_listens_on() -> None:
    """The default keeps the administrator's way in, wherever it is."""
    policy = host_policy(FirewallSection(), [2222], settling=False)
    assert policy == HostPolicy(inbound="deny", ports=(SSH,))


def test_everything_else_is_taken_word_for_word() -> None:
    """Ports, ranges, interfaces and ping; without `ssh` sshd's ports are closed."""
    ports = (HostPort("udp", 8000, 8010), HostPort("tcp", 443, 443))
    allow = HostAllow(ping=True, ports=ports, interfaces=("virbr0",))
    policy = host_policy(FirewallSection(host_allow=allow), [2222], settling=True)
    assert set(policy.ports) == set(ports)
    assert (policy.ping, policy.interfaces, policy.settling) == (True, ("virbr0",), True)


def test_the_ports_of_the_ingress_are_open() -> None:
    """While it listens on them."""
    policy = host_policy(FirewallSection(), [2222], settling=False, ingress_ports=[80])
    assert set(policy.ports) == {SSH, HostPort("tcp", 80, 80)}


def test_a_host_that_lets_everything_in_has_nothing_to_settle() -> None:
    """host_inbound allow: the deny that waits does not exist."""
    section = FirewallSection(host_inbound="allow")
    assert not host_policy(section, [], settling=True).settling


def test_the_closed_listeners_are_those_that_no_rule_opens() -> None:
    """Allowed ports of the right protocol are open, DHCP clients too; volt's own are no news."""
    policy = HostPolicy(ports=(SSH, HostPort("tcp", 8000, 8010)))
    opened = [
        Listener("tcp", "0.0.0.0", 2222, "sshd"),
        Listener("tcp", "::", 8005),
        Listener("udp", "0.0.0.0", 68),
        Listener("udp", "10.0.0.1", 53, "volt"),
    ]
    closed = [
        Listener("udp", "0.0.0.0", 2222),
        Listener("tcp", "192.0.2.1", 8011, "nginx"),
    ]
    assert closed_listeners(policy, [*closed, *opened], {"10.0.0.1"}) == closed
    assert closed_listeners(HostPolicy(inbound="allow"), closed, ()) == []
