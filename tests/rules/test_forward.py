"""Which port forwards are accepted, who owns a port, and where a forward leads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.networks.build import ip
from tests.rules.build import site, with_forward
from volt_agent.errors import Invalid, NotFound, Refused, VoltError
from volt_agent.kernel.host import Listener
from volt_agent.model.snapshot import Change
from volt_agent.model.workload import Port
from volt_agent.rules.forward import add_forward, delete_forward, show_forward, status_of


def add(snapshot: Any = None, listeners: Any = (), **how: Any) -> Any:
    wanted: dict[str, Any] = {
        "host_port": "80",
        "target": "web",
        "target_port": "80",
        "protocol": "tcp",
    }
    wanted |= {"host_ip": None} | how
    return add_forward(snapshot or site(), listeners=listeners, **wanted)


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ({}, "*:80/tcp -> web:80"),
        ({"host_port": "8000-8010", "target_port": "9000"}, "*:8000-8010/tcp -> web:9000-9010"),
        ({"host_port": "80-81", "target_port": "90-91"}, "*:80-81/tcp -> web:90-91"),
        ({"host_port": "1-65535", "target_port": "1"}, "*:1-65535/tcp -> web:1-65535"),
        ({"host_ip": "127.0.0.1", "protocol": "udp"}, "127.0.0.1:80/udp -> web:80"),
        ({"host_ip": "0.0.0.0"}, "*:80/tcp -> web:80"),
    ],
)  # fmt: skip
def test_forwards(how: dict[str, str], shown: str) -> None:
    """Single ports, ranges, one address."""
    (forward,) = add(**how).put
    assert show_forward(forward) == shown


@pytest.mark.parametrize(
    ("how", "error", "mentions"),
    [
        ({"host_port": "0"}, Invalid, "'0'"),
        ({"host_port": "80,443"}, Invalid, "80,443"),
        ({"host_port": "90-80"}, Invalid, "80-90"),
        ({"target_port": "65536"}, Invalid, "65536"),
        ({"host_port": "80-90", "target_port": "80-81"}, Invalid, "11 ports"),
        ({"host_port": "80-90", "target_port": "65530"}, Invalid, "65525"),
        ({"host_ip": "fd00::1"}, Invalid, "IPv6"),
        ({"host_ip": "224.0.0.1"}, Invalid, "224.0.0.1"),
        ({"host_ip": "here"}, Invalid, "here"),
        ({"target": "wep"}, NotFound, "did you mean web?"),
        ({"target": "backend"}, NotFound, "a network"),
    ],
)
def test_forwards_that_are_not_accepted(
    how: dict[str, str], error: type[VoltError], mentions: str
) -> None:
    """One clear line each."""
    with pytest.raises(error) as caught:
        add(**how)
    assert mentions in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("present", "wanted", "free"),
    [
        (("80", None), {"host_port": "81"}, True),
        (("80", None), {"protocol": "udp"}, True),
        (("80", "192.0.2.1"), {"host_ip": "192.0.2.2"}, True),
        (("80", None), {"target_port": "81"}, False),
        (("80", None), {"host_ip": "192.0.2.1"}, False),
        (("80", "192.0.2.1"), {}, False),
        (("70-90", None), {}, False),
        (("80-82", None), {"host_port": "82-90"}, False),
    ],
)
def test_a_port_that_another_forward_has(present: Any, wanted: dict[str, str], free: bool) -> None:
    """Refused with that forward named; another protocol or address is another port."""
    snapshot = with_forward(site(), *present)
    if free:
        assert add(snapshot, **wanted).put
        return
    with pytest.raises(Refused, match="-> web:"):
        add(snapshot, **wanted)


@pytest.mark.parametrize(
    ("listener", "host_ip", "mentions"),
    [
        (Listener("tcp", "0.0.0.0", 80, "nginx"), None, "nginx listens on 0.0.0.0:80/tcp"),
        (Listener("tcp", "::", 80, "nginx"), "192.0.2.1", "nginx listens on [::]:80/tcp"),
        (Listener("tcp", "127.0.0.1", 80, "app"), None, "app listens on 127.0.0.1:80/tcp"),
        (Listener("tcp", "127.0.0.1", 80, "app"), "127.0.0.1", "app listens"),
        (Listener("tcp", "192.0.2.1", 80, None), "192.0.2.1", "a process listens"),
        (Listener("tcp", "10.30.0.1", 80, "volt"), None, "volt itself listens on 10.30.0.1"),
        (Listener("tcp", "127.0.0.1", 80, "app"), "192.0.2.1", None),
        (Listener("tcp", "192.0.2.2", 80, "app"), "192.0.2.1", None),
        (Listener("tcp", "::1", 80, "app"), None, None),
        (Listener("udp", "0.0.0.0", 80, "app"), None, None),
        (Listener("tcp", "0.0.0.0", 81, "app"), None, None),
    ],
)
def test_a_port_that_somebody_listens_on(
    listener: Listener, host_ip: str | None, mentions: str | None
) -> None:
    """Refused with the process named, where the forward would take its traffic."""
    if mentions is None:
        assert add(listeners=[listener], host_ip=host_ip).put
        return
    with pytest.raises(Refused) as caught:
        add(listeners=[listener], host_ip=host_ip)
    assert mentions in caught.value.message


def test_the_same_again_changes_nothing() -> None:
    """Whoever listens there meanwhile."""
    snapshot = with_forward(site(), "80")
    assert add(snapshot, listeners=[Listener("tcp", "0.0.0.0", 80, "nginx")]).is_empty


def test_delete() -> None:
    """Protocol and address matter only where they tell forwards apart."""
    snapshot = with_forward(site(), "80", "192.0.2.1")
    assert delete_forward(snapshot, "80", None, None).delete
    with pytest.raises(NotFound):
        delete_forward(snapshot, "80", "udp", None)
    with pytest.raises(NotFound):
        delete_forward(snapshot, "80", None, "0.0.0.0")
    snapshot = with_forward(snapshot, "80", protocol="udp")
    with pytest.raises(Refused, match="2 forwards of port 80"):
        delete_forward(snapshot, "80", None, None)
    assert delete_forward(snapshot, "80", "udp", None).delete
    assert delete_forward(snapshot, "80", None, "0.0.0.0").delete


def test_status() -> None:
    """pending until the target runs, unreachable while it is on no network, then active."""
    snapshot = site()
    (forward,) = add(target="db").put
    assert status_of(snapshot, forward) == "pending"
    (forward,) = add(target="idle").put
    assert status_of(snapshot, forward) == "unreachable"
    (forward,) = add(target="web").put
    assert status_of(snapshot, forward) == "unreachable"
    port = Port("backend", "web", "vc-web", 7, True, address=ip("10.30.0.10"))
    assert status_of(snapshot.apply(Change(put=(port,))), forward) == "active"
