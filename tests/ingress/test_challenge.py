"""Answers to CAs that look whether a host is ours (RFC 8555, section 8.3)."""

from __future__ import annotations

from tests.ingress.bench import answers, bench
from volt_agent.ingress.table import RouteTable
from volt_agent.model.route import Backend, Route

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PLACE = b"/.well-known/acme-challenge/"
HOST = b"app.example.com"
TLS_ROUTE = Route("app", 1, HOST.decode(), "/", (Backend("web", 80),), "auto")


def ask(path: bytes, host: bytes = HOST, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, path, host)


def test_a_challenge_is_answered_first() -> None:
    """Before any route or redirect, for that host and token only; the connection goes on."""
    keys = {(HOST, b"token"): b"token.key"}
    with bench(answers(OK)) as made:
        made.proxy.challenge = lambda host, token: keys.get((host, token))
        client = made.client()
        for _ in range(3):  # the third head was seen before
            client.send(ask(PLACE + b"token", b"APP.example.com:80"))
            assert b" 200 " in client.head()
            assert client.exactly(9) == b"token.key"
        for path, host in ((b"other", HOST), (b"token", b"b.example"), (b"token/x", HOST)):
            client.send(ask(PLACE + path, host))
            client.head()
            assert client.exactly(2) == b"ok", "the route's own answer"
        made.do(setattr, made.proxy, "table", RouteTable([TLS_ROUTE], {"app": made.target}))
        client.send(ask(b"/x"))
        assert b" 308 " in client.head().split(b"\r\n")[0]
        client = made.client()
        client.send(ask(PLACE + b"token"))
        assert b" 200 " in client.head()
        assert client.exactly(9) == b"token.key"
        made.do(setattr, made.proxy, "table", RouteTable())
        client.send(ask(PLACE + b"token"))
        assert b" 200 " in client.head(), "while there is no route yet"
