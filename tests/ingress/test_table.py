"""Which route answers: exact hosts, wildcards, the default; the longest path on segment borders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.ingress.table import Hosts, Redirect, RouteTable
from volt_agent.ingress.targets import Target
from volt_agent.model.route import Backend, Route, TlsMode

MODES: tuple[TlsMode, ...] = ("off", "manual")


def route(name: str, hostname: str, path: str = "/", tls: TlsMode = "off") -> Route:
    return Route(name, 1, hostname, path, (Backend("web", 80),), tls=tls)


def table(*routes: Route) -> RouteTable:
    return RouteTable(routes, {each.name: Target(each.name) for each in routes})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", "root"),
        (b"/v1", "v1"),
        (b"/v1/", "v1"),
        (b"/v1?x=/v1/deep", "v1"),
        (b"/v1/a/b", "v1"),
        (b"/v1/deep/x", "deep"),
        (b"/v1/deeper", "v1"),
        (b"/v10", "root"),
        (b"/V1", "root"),
        (b"//v1", "v1"),
        (b"/%76%31", "v1"),
        (b"/v1/../x", "root"),
        (b"/x/./../v1/%64eep", "deep"),
        (b"/v1/%2E%2e/", "root"),
        (b"/v1;a=b/deep;c", None),
        (b"/v1/%2e%2e%2fx", None),
        (b"/x/..;/v1", None),
        (b"/x\\..\\v1", None),
        (b"/v1/x%2fy;z", "v1"),
        (b"*", "root"),
    ],
)
def test_the_longest_path_on_segment_borders_answers(target: bytes, expected: str | None) -> None:
    """`/v1` is not `/v10`, the query is no part of the path, and who hides another path in one gets
    what that leads to, or nothing where backends disagree."""
    hosts = Hosts([("a.b", "/", "root"), ("a.b", "/v1", "v1"), ("a.b", "/v1/deep/", "deep")])
    assert hosts.find(b"a.b", target) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"app.example.com", "exact"),
        (b"x.example.com", "wild"),
        (b"y.x.example.com", "wild"),
        (b"z.dev.example.com", "dev"),
        (b"dev.example.com", "wild"),
        (b"example.com", "any"),
        (b"other", "any"),
        (b"", "any"),
    ],
)
def test_an_exact_host_comes_before_a_wildcard_before_the_default(
    host: bytes, expected: str
) -> None:
    """Of several wildcards the longest."""
    hosts = Hosts(
        [
            ("app.example.com", "/", "exact"),
            ("*.example.com", "/", "wild"),
            ("*.dev.example.com", "/", "dev"),
            ("*", "/", "any"),
        ]
    )
    assert hosts.find(host, b"/x") == expected


def test_a_plain_route_comes_before_the_redirect_of_another() -> None:
    """And a route without TLS is never redirected."""
    found = table(route("open", "a.b", "/open"), route("safe", "a.b", "/", tls="manual"))
    assert isinstance(found.find_plain(b"a.b", b"/x"), Redirect)
    answer = found.find_plain(b"a.b", b"/open/x")
    assert isinstance(answer, Target)
    assert answer.name == "open"
    assert found.find_tls(b"a.b", b"/open") is not None
    assert found.find_passthrough(b"a.b") is None


def test_the_default_route_does_not_keep_a_host_from_https() -> None:
    """What is sent to https is decided by who names the host more closely."""
    found = table(route("any", "*"), route("safe", "a.b", tls="manual"))
    assert isinstance(found.find_plain(b"a.b", b"/"), Redirect)
    assert isinstance(found.find_plain(b"c.d", b"/"), Target)


def test_a_host_with_a_route_does_not_fall_through_to_a_wildcard() -> None:
    """Nothing under another path of the host answers."""
    found = table(route("v1", "a.example.com", "/v1"), route("wild", "*.example.com"))
    assert found.find_plain(b"a.example.com", b"/") is None


segments = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4)
paths = segments.map(lambda parts: "/" + "/".join(parts))


@given(st.sets(paths, max_size=8), paths)
def test_the_walk_finds_what_a_search_through_all_prefixes_finds(
    prefixes: set[str], path: str
) -> None:
    """The longest prefix that ends at a border."""
    hosts = Hosts([("h", each, each) for each in prefixes])
    fitting = [each for each in prefixes if path == each or path.startswith(each.rstrip("/") + "/")]
    assert hosts.find(b"h", path.encode()) == max(fitting, key=len, default=None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from(MODES)), max_size=20))
def test_a_changed_table_is_a_new_one(steps: list[tuple[bool, int, TlsMode]]) -> None:
    """Whatever comes and goes, step by step: the same as made at once."""
    table, routes = RouteTable(), dict[str, Route]()
    targets = {f"r{number}{mode}": Target("") for number in range(6) for mode in MODES}
    hosts = ["*", "*.example.com", "app.example.com"]
    for comes, number, mode in steps:
        route = Route(f"r{number}{mode}", 0, hosts[number % 3], f"/{number // 3}", (), tls=mode)
        was = [routes.pop(route.name)] if route.name in routes else []
        come = [route] if comes else []
        routes.update({each.name: each for each in come})
        table = table.changed(was, come, targets)
    anew = RouteTable(routes.values(), targets)
    for host in (b"app.example.com", b"b.example.com", b"other"):
        for path in (b"/0/x", b"/1", b"/2"):
            assert table.find_plain(host, path) == anew.find_plain(host, path)
            assert table.find_tls(host, path) is anew.find_tls(host, path)
        assert table.find_passthrough(host) is anew.find_passthrough(host)
