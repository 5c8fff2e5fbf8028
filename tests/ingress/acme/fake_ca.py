"""A CA that does what a test wants, counts what it is asked for, and believes every signature.

It speaks as much of RFC 8555 as an order needs, over HTTP on loopback.
"""

from __future__ import annotations

import json
import ssl
import threading
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from cryptography import x509

from ..authority import Authority, pem_of

Answer = tuple[int, Mapping[str, str], object]
ERROR = "urn:ietf:params:acme:error:"


@cache
def authority() -> Authority:
    """One for the whole run."""
    return Authority()


def refusal(
    status: int, code: str, detail: str = "no", headers: Mapping[str, str] | None = None
) -> Answer:
    """A problem document (RFC 7807)."""
    return status, headers or {}, {"type": ERROR + code, "detail": detail, "status": status}


class FakeCa:
    """`asked` counts requests by kind: directory, nonce, account, order, look, authorisation,
    challenge, finalize, certificate, renewal. `answers` replaces the answers of kinds; `validate`
    is called as `Certificates.challenge` is. `lifetime` in seconds; with `tls` it speaks HTTPS.
    """

    def __init__(
        self,
        validate: Callable[[bytes, bytes], bytes | None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self.validate = validate
        self.lifetime = 90 * 86400.0
        self.skew = 0.0  # seconds that its clock is ahead
        self.meta: dict[str, object] = {}
        self.window: tuple[datetime, datetime] | None = None
        self.decides = True  # whether challenges get anywhere
        self.keys: set[str] = set()  # of accounts
        self.orders: list[dict[str, Any]] = []
        self._turn = threading.Lock()
        server = self._server = _Server(("127.0.0.1", 0), _Handler)
        server.ca = self
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.place = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        self.directory = f"{self.place}/directory"
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), name="fake-ca", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> FakeCa:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # ---- what it answers ------------------------------------------------------------------------

    def answer(self, path: str, document: Mapping[str, Any]) -> Answer:
        kind, _, rest = path.strip("/").partition("/")
        self.asked[kind] += 1
        with self._turn:
            if kind in self.answers:
                return self.answers[kind]
            handler: Callable[..., Answer] = getattr(self, f"_{kind}")
            return handler(rest, document)

    def _directory(self, _rest: str, _document: object) -> Answer:
        found: dict[str, object] = {
            "newNonce": f"{self.place}/nonce",
            "newAccount": f"{self.place}/account",
            "newOrder": f"{self.place}/order",
            "revokeCert": f"{self.place}/revoke",
            "meta": self.meta,
        }
        if self.window is not None:
            found["renewalInfo"] = f"{self.place}/renewal"
        return 200, {}, found

    def _nonce(self, _rest: str, _document: object) -> Answer:
        return 200, {}, None

    def _account(self, _rest: str, document: Mapping[str, Any]) -> Answer:
        key = json.dumps(document["protected"]["jwk"], sort_keys=True)
        status = 200 if key in self.keys else 201
        self.keys.add(key)
        return status, {"Location": f"{self.place}/me"}, {"status": "valid"}

    def _order(self, _rest: str, document: Mapping[str, Any]) -> Answer:
        (name,) = document["payload"]["identifiers"]
        number = len(self.orders)
        self.orders.append({"host": name["value"], "status": "pending", "token": f"t{number}" * 20})
        _status, headers, body = self._look(str(number), {})
        return 201, {**headers, "Location": f"{self.place}/look/{number}"}, body

    def _look(self, number: str, _document: object) -> Answer:
        order = self.orders[int(number)]
        if order["status"] == "invalid":
            return 200, {}, {**self._view(number), "error": {"type": ERROR + "unauthorized"}}
        return 200, {}, self._view(number)

    def _view(self, number: str) -> dict[str, object]:
        return {
            "status": self.orders[int(number)]["status"],
            "authorizations": [f"{self.place}/authorisation/{number}"],
            "finalize": f"{self.place}/finalize/{number}",
            "certificate": f"{self.place}/certificate/{number}",
        }

    def _authorisation(self, number: str, _document: object) -> Answer:
        order = self.orders[int(number)]
        challenge = {
            "type": "http-01",
            "url": f"{self.place}/challenge/{number}",
            "token": order["token"],
            "status": "pending",
        }
        if order["status"] == "invalid":
            challenge["error"] = {"type": ERROR + "connection", "detail": "connection refused"}
        status = "pending" if order["status"] == "pending" else order["status"]
        return 200, {}, {"status": status, "challenges": [challenge]}

    def _challenge(self, number: str, _document: object) -> Answer:
        order = self.orders[int(number)]
        if self.decides:
            token, host = order["token"].encode(), order["host"].encode()
            found = self.validate is not None and self.validate(host, token) is not None
            order["status"] = "ready" if found else "invalid"
        return 200, {}, {"status": "processing"}

    def _finalize(self, number: str, document: Mapping[str, Any]) -> Answer:
        order = self.orders[int(number)]
        order["csr"] = _decoded(document["payload"]["csr"])
        order["status"] = "valid"
        return 200, {}, self._view(number)

    def _certificate(self, number: str, _document: object) -> Answer:
        order = self.orders[int(number)]
        request = x509.load_der_x509_csr(order["csr"])
        key: Any = SimpleNamespace(public_key=request.public_key)
        begins = datetime.now(UTC) + timedelta(seconds=self.skew)
        ends = begins + timedelta(seconds=self.lifetime)
        leaf, _ = authority().issue(order["host"], key=key, begins=begins, ends=ends)
        return 200, {}, pem_of([leaf, authority().intermediate])

    def _revoke(self, _rest: str, _document: object) -> Answer:
        return 200, {}, {}

    def _renewal(self, _certificate: str, _document: object) -> Answer:
        assert self.window is not None
        start, end = (each.isoformat().replace("+00:00", "Z") for each in self.window)
        window = {"start": start, "end": end}
        return 200, {"Retry-After": "21600"}, {"suggestedWindow": window}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    ca: FakeCa


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._say({})

    def do_HEAD(self) -> None:
        self._say({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        document = {name: _json(_decoded(body[name])) for name in ("protected", "payload")}
        self._say(document)

    def _say(self, document: Mapping[str, Any]) -> None:
        ca = self.server.ca
        status, headers, content = ca.answer(self.path, document)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("Date", formatdate(datetime.now(UTC).timestamp() + ca.skew, usegmt=True))
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        pass


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(text: bytes) -> Any:
    return json.loads(text) if text else {}
