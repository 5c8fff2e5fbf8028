"""Paths, verbs, rights and parameters, without any socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.control.fake_agent import STATUS, FakeAgent
from volt_agent.bus import Bus
from volt_agent.control.api import Api, Probes, Request, Response, decode_params
from volt_agent.control.event_log import EventLog
from volt_agent.control.messages import network
from volt_agent.control.methods import METHODS
from volt_agent.control.peer import Access, Peer
from volt_agent.errors import Invalid, StoreFailed, VoltError

ROOT = Peer(pid=1, uid=0, groups=frozenset((0,)))
STRANGER = Peer(pid=2, uid=1000, groups=frozenset((1000,)))
NET_LIST = Request("POST", "/v1/net.list", peer=ROOT)


def make_api(**more: Any) -> Api:
    handlers = {**FakeAgent().handlers(), **more.pop("handlers", {})}
    probes = Probes(lambda: (False, ["volt0 is missing"]), lambda: STATUS, lambda: b"volt_x 1\n")
    return Api(handlers, probes, EventLog(Bus()), Access(uid=0, group=50), **more)


def ask(api: Api, request: Request, body: bytes = b"") -> Response:
    return api.refusal(request) or asyncio.run(api.answer(request, body))


def error_of(response: Response) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(response.body)["error"]
    return error


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/v1/net.list", 200),
        ("POST", "/v1/net.dns.list", 200),
        ("POST", "/v1/status", 200),
        ("GET", "/v1/openapi.json", 200),
        ("HEAD", "/v1/openapi.json", 200),
        ("GET", "/v1/events", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 503),
        ("GET", "/status", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/net.list", 405),
        ("POST", "/v1/events", 405),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("POST", "/v1/net.lst", 404),
        ("POST", "/v1/", 404),
        ("POST", "/net.list", 404),
        ("POST", "net.list", 404),
        ("GET", "/", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/v1/../healthz", 404),
    ],
)
def test_paths_and_verbs(verb: str, path: str, status: int) -> None:
    """Each path has its verbs; everything else is a 404 or a 405."""
    assert ask(make_api(), Request(verb, path, peer=ROOT)).status == status


def test_a_wrong_verb_is_told_the_right_ones() -> None:
    """405 carries Allow (RFC 9110, section 15.5.6)."""
    refusal = ask(make_api(), Request("PUT", "/status", peer=ROOT))
    assert refusal.allow == "GET, HEAD"
    assert "GET, HEAD" in error_of(refusal)["message"]


def test_a_misspelled_method_is_corrected() -> None:
    """The hint names the method that was probably meant."""
    response = ask(make_api(), Request("POST", "/v1/net.creat", peer=ROOT))
    assert error_of(response)["hint"] == "did you mean /v1/net.create?"


@pytest.mark.parametrize("path", ["/v1/net.list", "/v1/openapi.json", "/v1/events", "/v1/x", "/x"])
def test_strangers_are_refused_all_but_the_status_pages(path: str) -> None:
    """A stranger gets 403, and does not even learn which methods exist."""
    for verb in ("GET", "POST"):
        response = ask(make_api(), Request(verb, path, peer=STRANGER))
        assert (response.status, error_of(response)["code"]) == (403, "forbidden")


def test_strangers_may_ask_for_health() -> None:
    """Health probes need no rights."""
    assert ask(make_api(), Request("GET", "/healthz", peer=STRANGER)).status == 200


@pytest.mark.parametrize(
    ("uid", "groups", "allowed"),
    [(0, (0,), True), (7, (7,), True), (1, (1, 50), True), (1, (50,), True), (1, (1, 51), False)],
)
def test_who_may_use_the_rpc(uid: int, groups: tuple[int, ...], allowed: bool) -> None:
    """Root, the agent's own user, and members of the group, supplementary ones too."""
    access = Access(uid=7, group=50)
    assert access.allows(Peer(pid=1, uid=uid, groups=frozenset(groups))) is allowed


def test_without_the_group_nobody_is_a_member() -> None:
    """Where group volt does not exist, only root and the agent's user are let in."""
    assert not Access(uid=7, group=None).allows(STRANGER)


def test_over_tcp_only_the_status_pages_exist() -> None:
    """A peer without credentials (TCP) finds no RPC, whatever the verb."""
    api = make_api()
    for path in ("/v1/net.list", "/v1/openapi.json", "/v1/events"):
        for verb in ("GET", "POST"):
            assert ask(api, Request(verb, path)).status == 404
    assert ask(api, Request("GET", "/healthz")).status == 200


def test_readiness_says_why_not() -> None:
    """/readyz lists the reasons."""
    response = ask(make_api(), Request("GET", "/readyz"))
    assert json.loads(response.body) == {"ready": False, "reasons": ["volt0 is missing"]}


def test_a_call_without_a_body_has_no_parameters() -> None:
    """curl -X POST without -d is enough for calls that need none."""
    assert ask(make_api(), NET_LIST, b"").status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the request body is not JSON"),
        (b"\xff", "the request body is not JSON"),
        (b'{"name": "\xff"}', "the request body is not JSON"),
        (b"[1]", "expected 'object', got 'array'"),
        (b"null", "expected 'object', got 'null'"),
        (b"{}", "a parameter is missing: 'name'"),
        (b'{"nme": "x"}', "there is no parameter 'nme'"),
        (b'{"name": 7}', "expected 'str', got 'int' in 'name'"),
        (b'{"name": "x", "mtu": "big"}', "expected 'int | null', got 'str' in 'mtu'"),
        (b'{"a\\nb": 1}', "there is no parameter 'a?b'"),
        (b"[" * 100_000, "expected 'object', got 'array'"),
        (b'{"name": ' + b"[" * 100_000, "expected 'str', got 'array' in 'name'"),
    ],
)
def test_wrong_parameters_are_named(body: bytes, message: str) -> None:
    """400, with the parameter that is wrong, and nothing is called."""
    response = ask(make_api(), Request("POST", "/v1/net.create", peer=ROOT), body)
    assert response.status == 400
    assert message in error_of(response)["message"]


def test_messages_stay_short() -> None:
    """What a caller wrote is quoted, but not a megabyte of it."""
    body = json.dumps({"x" * 100_000: 1}).encode()
    response = ask(make_api(), Request("POST", "/v1/net.create", peer=ROOT), body)
    assert len(response.body) < 600
    assert len(ask(make_api(), Request("POST", "/" + "x" * 10_000, peer=ROOT)).body) < 600


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_understood_or_refused(body: bytes) -> None:
    """No bytes make anything but parameters or an Invalid of one line."""
    try:
        params = decode_params(network.CREATE, body)
    except Invalid as refused:
        params = refused
    assert isinstance(params, network.CreateNetwork) or "\n" not in params.message


def test_unknown_parameters_are_refused_by_every_method() -> None:
    """A typing mistake never passes silently."""
    for method in METHODS.values():
        with pytest.raises(Invalid, match=f"{method.name}: there is no parameter 'tpyo'"):
            decode_params(method, b'{"tpyo": 1}')


def test_an_error_carries_its_code_and_hint() -> None:
    """A VoltError becomes its HTTP status and the three fields."""

    async def full(params: object) -> None:
        raise StoreFailed("the disk is full", "make room")

    response = ask(make_api(handlers={"net.list": full}), NET_LIST)
    assert response.status == 507
    assert error_of(response) == {
        "code": "store_failed",
        "message": "the disk is full",
        "hint": "make room",
    }


def test_an_unexpected_failure_keeps_its_details_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """500 with a reference; the traceback is in the log under that reference."""

    async def broken(params: object) -> None:
        raise RuntimeError("secret detail")

    response = ask(make_api(handlers={"net.list": broken}), NET_LIST)
    message = error_of(response)["message"]
    assert response.status == 500
    assert "secret" not in message
    reference = message.partition("(reference ")[2].rstrip(")")
    assert reference in caplog.text
    assert "secret detail" in caplog.text


def test_a_failing_status_page_is_a_500() -> None:
    """What the probes raise does not reach the connection."""

    def broken() -> bytes:
        raise RuntimeError

    probes = Probes(lambda: (True, []), lambda: STATUS, broken)
    api = Api({}, probes, EventLog(Bus()), Access(0, None))
    assert ask(api, Request("GET", "/metrics")).status == 500


def test_a_method_without_a_handler_does_not_exist() -> None:
    """An agent that runs with a part of the handlers says 404 for the rest, and documents so."""
    api = Api(
        {}, Probes(lambda: (True, []), lambda: STATUS, bytes), EventLog(Bus()), Access(0, None)
    )
    assert ask(api, NET_LIST).status == 404
    document = json.loads(ask(api, Request("GET", "/v1/openapi.json", peer=ROOT)).body)
    assert "/v1/net.list" not in document["paths"]


def test_calls_are_observed() -> None:
    """Every finished call is counted with its outcome."""
    seen: list[tuple[str, str]] = []
    api = make_api(observe=lambda name, code, seconds: seen.append((name, code)))
    ask(api, NET_LIST)
    ask(api, Request("POST", "/v1/net.delete", peer=ROOT), b'{"name": "nope"}')
    assert seen == [("net.list", "ok"), ("net.delete", "not_found")]


def test_changes_are_logged_with_their_caller(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever changes something is on record; reading is not worth a line."""
    caplog.set_level("INFO")
    ask(make_api(), NET_LIST)
    assert not caplog.records
    ask(make_api(), Request("POST", "/v1/net.delete", peer=ROOT), b'{"name": "backend"}')
    assert "net.delete by uid 0, pid 1: ok" in caplog.text


@pytest.mark.parametrize("query", ["recent=-1", "recent=x", "follow=maybe"])
def test_a_wrong_event_query_is_refused(query: str) -> None:
    """Query parameters are checked as well."""
    assert ask(make_api(), Request("GET", "/v1/events", query, ROOT)).status == 400


@pytest.mark.parametrize(
    ("query", "follow", "recent"),
    [("", True, 0), ("recent=5", True, 5), ("follow=true&recent=1&x=y", True, 1)],
)
def test_events_follow_unless_told_otherwise(query: str, follow: bool, recent: int) -> None:
    """The stream is endless by default and starts now."""
    wanted = ask(make_api(), Request("GET", "/v1/events", query, ROOT)).stream
    assert wanted is not None
    assert (wanted.follow, wanted.recent) == (follow, recent)


def test_the_registry_knows_every_method_by_its_name() -> None:
    """METHODS is keyed by name, and a method's name is a path of labels."""
    for name, method in METHODS.items():
        assert method.name == name
        assert all(part.isalpha() for part in name.split("."))
        assert method.summary


def test_errors_of_this_package_have_distinct_codes() -> None:
    """A code identifies one class, so that clients can raise it again."""
    classes: Iterator[type[VoltError]] = iter(VoltError.__subclasses__())
    codes = [each.code for each in classes]
    assert len(codes) == len(set(codes))
