"""Which routes may be made, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks.build import backend
from volt_agent.errors import Invalid, NotFound, Refused, VoltError
from volt_agent.model.route import ANY_HOST, Backend, IngressPorts, Route, TlsMode
from volt_agent.model.snapshot import Snapshot
from volt_agent.rules.forward import add_forward
from volt_agent.rules.route import (
    Asked,
    check_revocable,
    create_route,
    delete_route,
    parse_backend,
    parse_hostname,
)


def asked(name: str = "web", **more: Any) -> Asked:
    return Asked(name=name, backends=more.pop("backends", ("web:8080",)), **more)


def with_routes(*wanted: Asked) -> Snapshot:
    snapshot = Snapshot()
    for each in wanted:
        snapshot = snapshot.apply(create_route(snapshot, each))
    return snapshot


def test_a_route_of_the_handbook() -> None:
    """Names in lower case, paths without a slash at the end, backends in order."""
    snapshot = with_routes(
        asked("api", hostname="API.example.com", path="/v1/", backends=("api:3000", "10.0.0.9:80"))
    )
    route = snapshot.routes["api"]
    assert (route.hostname, route.path, route.tls) == ("api.example.com", "/v1", "off")
    assert route.backends == (Backend("api", 3000), Backend("10.0.0.9", 80))


def test_repeating_a_route_changes_nothing_and_a_different_one_is_refused() -> None:
    """The difference is named."""
    snapshot = with_routes(asked(hostname="a.b"), asked("other", hostname="c.d"))
    assert create_route(snapshot, asked(hostname="a.b")).is_empty
    with pytest.raises(Refused, match="with timeout 30"):
        create_route(snapshot, asked(hostname="a.b", timeout=60))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (asked("a", hostname="a.b"), asked("b", hostname="A.b.")),
        (asked("a", hostname="a.b", path="/v1"), asked("b", hostname="a.b", path="/v1/")),
        (asked("a", hostname="a.b", tls="auto"), asked("b", hostname="a.b", tls="passthrough")),
        (asked("a"), asked("b", hostname="*")),
    ],
)
def test_two_routes_cannot_share_a_place(first: Asked, second: Asked) -> None:
    """Host, path, and plain or TLS; the owner is named."""
    with pytest.raises(Refused, match="is taken by route a"):
        with_routes(first, second)


def test_plain_and_tls_are_two_places() -> None:
    """An explicit plain route goes beside that with TLS."""
    made = with_routes(
        asked("a", hostname="a.b"),
        asked("b", hostname="a.b", tls="auto"),
        asked("c", hostname="a.b", path="/x"),
    )
    assert len(made.routes) == 3


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "Web"}, "route name 'Web' is not allowed"),
        ({"backends": ()}, "needs a backend"),
        ({"backends": ("web",)}, "has no port"),
        ({"backends": ("web:0",)}, "'0' is not a port"),
        ({"backends": ("web:65536",)}, "'65536' is not a port"),
        ({"backends": ("web:80-81",)}, "has several ports"),
        ({"backends": ("we b:80",)}, "neither a workload nor a host"),
        ({"backends": ("300.0.0.1:80",)}, "is not an address"),
        ({"backends": ("0.0.0.0:80",)}, "cannot be connected to"),
        ({"backends": ("[::1]:80",)}, "is IPv6"),
        ({"backends": tuple(f"web:{port}" for port in range(1, 66))}, "65 backends are too many"),
        ({"hostname": "a b"}, "is not a host name"),
        ({"hostname": "a.b:80"}, "ports are those of the ingress"),
        ({"hostname": "*"}, None),
        ({"hostname": "a.*.b"}, "is not a host name"),
        ({"hostname": "x" * 300}, "is not a host name"),
        ({"path": "v1"}, "--path 'v1' is not a path"),
        ({"path": "/a b"}, "is not a path"),
        ({"path": "/?x"}, "is not a path"),
        ({"timeout": 0}, "--timeout 0 is out of range"),
        ({"timeout": 1e9}, "--timeout 1e+09 is out of range"),
        ({"drain": -1}, "--drain -1 is out of range"),
        ({"body_limit": -1}, "--body-limit -1 is negative"),
        ({"tls": "manual", "certificate": "/c"}, "--tls manual needs --key"),
        ({"tls": "manual", "certificate": "c", "private_key": "/k"}, "not an absolute path"),
        ({"certificate": "/c"}, "--cert and --key go with --tls manual"),
        ({"tls": "auto"}, "needs one exact host name"),
        ({"tls": "auto", "hostname": "*.a.b"}, "needs one exact host name"),
        ({"tls": "passthrough", "hostname": "a.b", "path": "/x"}, "cannot see paths"),
        ({"tls": "passthrough"}, "needs a host name"),
        ({"hsts": 60}, "--hsts goes with --tls"),
    ],
)
def test_bad_input_is_named(wrong: dict[str, Any], reason: str | None) -> None:
    """One clear line; nothing is made."""
    if reason is None:
        assert create_route(Snapshot(), asked(**wrong)).put
        return
    with pytest.raises(Invalid) as raised:
        create_route(Snapshot(), asked(**wrong))
    assert reason in raised.value.message


def test_deleting_what_is_not_there_names_what_was_perhaps_meant() -> None:
    """Exit status 3, and a hint."""
    with pytest.raises(NotFound) as raised:
        delete_route(with_routes(asked("web")), "wed")
    assert raised.value.hint == "did you mean web?"


@given(st.text(max_size=300))
def test_any_text_is_a_host_a_backend_or_refused(text: str) -> None:
    """No other error, and what is taken can be written down again."""
    for parse in (parse_hostname, parse_backend):
        try:
            found = parse(text)
        except VoltError:
            continue
        assert str(found) == ANY_HOST or parse(str(found)) == found


@pytest.mark.parametrize("hostname", [None, "*", "*.example.com", "my_app.example.com", "10.0.0.1"])
def test_hosts_without_automatic_certificates(hostname: str | None) -> None:
    """Refused with the reason before anything is stored."""
    with pytest.raises(Invalid, match="--tls auto"):
        with_routes(asked(hostname=hostname, tls="auto"))


def test_a_certificate_is_revoked_with_its_last_route() -> None:
    """One that another route needs, or that is none of volt's, is not."""
    snapshot = with_routes(
        asked("a", hostname="a.b", tls="auto"),
        asked("b", hostname="a.b", path="/v1", tls="auto"),
        asked("c", hostname="c.d", tls="auto"),
        asked("d", hostname="a.b"),
    )
    check_revocable(snapshot, snapshot.routes["c"])
    with pytest.raises(Refused, match="is also that of route b"):
        check_revocable(snapshot, snapshot.routes["a"])
    with pytest.raises(Refused, match="no automatic certificate"):
        check_revocable(snapshot, snapshot.routes["d"])


def test_a_port_has_one_owner() -> None:
    """Of a forward and the ingress the later is refused, in words that name the other."""
    wanted = backend("web")
    forward = add_forward(wanted, "80-90", "web", "80", "tcp", "192.0.2.1", [])
    forwarded = wanted.apply(forward)
    plain = Asked(name="a", backends=["web:80"], hostname="a.example.com")
    with pytest.raises(Refused, match=r"port 80 .* 192\.0\.2\.1:80-90/tcp -> web:80-90"):
        create_route(forwarded, plain)
    assert create_route(forwarded, plain, IngressPorts(http=8080)).put
    assert create_route(forwarded, plain, IngressPorts(enabled=False)).put
    routed = wanted.apply(create_route(wanted, plain))
    with pytest.raises(Refused, match="the ingress takes http requests at 80"):
        add_forward(routed, "80", "web", "80", "tcp", None, [])
    assert add_forward(routed, "80", "web", "80", "udp", None, []).put
    assert add_forward(routed, "443", "web", "443", "tcp", None, []).put  # no route needs it


@pytest.mark.parametrize(
    ("ports", "tls", "needed"),
    [
        (IngressPorts(), (), {}),
        (IngressPorts(), ("off",), {"http": 80}),
        (IngressPorts(81, 444), ("off", "passthrough"), {"http": 81, "https": 444}),
        (IngressPorts(always=True), (), {"http": 80, "https": 443}),
        (IngressPorts(enabled=False, always=True), ("manual",), {}),
    ],
)
def test_ports_are_needed_by_routes(
    ports: IngressPorts, tls: tuple[TlsMode, ...], needed: dict[str, int]
) -> None:
    """http by any, https by one with TLS in any form."""
    routes = [Route(f"r{each}", 1, "a.example.com", "/", (), tls=each) for each in tls]
    assert ports.needed_by(routes) == needed


@pytest.mark.parametrize(
    "other",
    [
        {"tls": "manual", "certificate": "/b.pem", "private_key": "/b.key"},
        {"tls": "auto"},
    ],
)
def test_a_host_has_one_certificate(other: dict[str, Any]) -> None:
    """Nothing but the name tells which one to show: the route that brought it is named."""
    manual = {"tls": "manual", "certificate": "/a.pem", "private_key": "/a.key"}
    snapshot = with_routes(asked("first", hostname="a.b", **manual))
    with pytest.raises(Refused, match="another certificate already, by route first"):
        create_route(snapshot, asked("second", hostname="a.b", path="/x", **other))
    create_route(snapshot, asked("second", hostname="a.b", path="/x", **manual))
    create_route(snapshot, asked("second", hostname="c.b", **other))


@pytest.mark.parametrize("path", ["/a//b", "/a/../b", "/./a", "/%61"])
def test_a_path_is_written_in_one_way(path: str) -> None:
    """What others would take for another one is refused."""
    with pytest.raises(Invalid, match="in other words"):
        with_routes(asked(path=path))
