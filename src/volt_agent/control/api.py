"""Requests to answers: which path is what, who may use it, and the call of a handler.

Nothing here knows sockets or framing: `connection` reads a request's head and asks `refusal`, then
reads the body and asks `answer`.
"""

from __future__ import annotations

import difflib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct, json

from .. import __version__
from ..errors import Invalid, VoltError
from .event_log import EventLog, EventQuery
from .failure import error_body
from .messages.agent import STATUS, AgentStatus
from .method import Method
from .methods import METHODS
from .openapi import openapi_document
from .peer import Access, Peer

log = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[Any]]

QUOTED_MAX = 200

JSON = "application/json"
JSON_LINES = "application/x-ndjson"


class Probes(Struct, frozen=True):
    """What the four status paths read. All are plain functions, called on the loop.

    `is_ready` returns whether everything desired has taken effect, and if not the reasons, as
    sentences. `metrics` returns the Prometheus text.
    """

    is_ready: Callable[[], tuple[bool, list[str]]]
    status: Callable[[], AgentStatus]
    metrics: Callable[[], bytes]


class Request(Struct, frozen=True):
    """A request's head. `peer` is None on TCP, where `/v1` does not exist."""

    method: str
    path: str
    query: str = ""
    peer: Peer | None = None


class Response(Struct, frozen=True):
    """An answer. `stream` in place of `body`: events that are to be followed."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    allow: str | None = None
    stream: EventQuery | None = None


class Api:
    """The paths of the control server.

    `handlers` maps method names to what carries them out: given the parameters' Struct, it returns
    the result's or raises VoltError. A method of METHODS without a handler does not exist.
    `observe` is told of every call: its name, the error code ("ok" for none) and how many seconds
    it took.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        probes: Probes,
        events: EventLog,
        access: Access,
        *,
        methods: Mapping[str, Method[Any, Any]] = METHODS,
        observe: Callable[[str, str, float], None] = lambda name, code, seconds: None,
    ) -> None:
        self.events = events
        self._handlers = {STATUS.name: self._agent_status, **handlers}
        self._methods = {name: each for name, each in methods.items() if name in self._handlers}
        self._probes = probes
        self._access = access
        self._observe = observe
        self._document = _pretty(openapi_document(self._methods, __version__))

    def refusal(self, request: Request) -> Response | None:
        """What can be refused before the body is read: path, verb and rights. None: read on."""
        # Rights come first: a stranger does not even learn which methods there are.
        if request.path not in _STATUS_PATHS and self._is_stranger(request.peer):
            return _FORBIDDEN
        allowed = self._verbs(request)
        if not allowed:
            message = f"no such path: {_quoted(request.path)}"
            return failure(404, "not_found", message, self._hint(request))
        if request.method not in allowed:
            verbs = ", ".join(allowed)
            message = f"{request.path} takes {verbs}, not {_quoted(request.method)}"
            return failure(405, "method_not_allowed", message, allow=verbs)
        return None

    async def answer(self, request: Request, body: bytes) -> Response:
        """The answer to a request that `refusal` let pass. Never raises but for cancellation."""
        method = self._method(request.path)
        if method is not None:
            return await self._call(method, body, request.peer)
        try:
            if request.path == "/v1/events":
                return self._events(request.query)
            return self._status_page(request.path)
        except Exception:
            return _unexpected(request.path)

    def _verbs(self, request: Request) -> tuple[str, ...]:
        if request.path in _STATUS_PATHS:
            return ("GET", "HEAD")
        if request.peer is None:
            return ()
        if request.path == "/v1/openapi.json":
            return ("GET", "HEAD")
        if request.path == "/v1/events":
            return ("GET",)
        return ("POST",) if self._method(request.path) else ()

    def _method(self, path: str) -> Method[Any, Any] | None:
        return self._methods.get(path.removeprefix("/v1/")) if path.startswith("/v1/") else None

    def _is_stranger(self, peer: Peer | None) -> bool:
        """On TCP nobody is one: there `/v1` does not exist at all."""
        return peer is not None and not self._access.allows(peer)

    def _hint(self, request: Request) -> str:
        if request.peer is None:
            return "here are " + ", ".join(_STATUS_PATHS)
        wanted = request.path.removeprefix("/v1/")[:100]
        close = difflib.get_close_matches(wanted, self._methods, n=1)
        if close:
            return f"did you mean /v1/{close[0]}?"
        return "GET /v1/openapi.json describes all paths"

    def _status_page(self, path: str) -> Response:
        if path == "/v1/openapi.json":
            return Response(200, self._document)
        if path == "/metrics":
            return Response(200, self._probes.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/status":
            return Response(200, _pretty(self._probes.status()))
        if path == "/healthz":
            return Response(200, _pretty({"alive": True}))
        ready, reasons = self._probes.is_ready()
        return Response(200 if ready else 503, _pretty({"ready": ready, "reasons": reasons}))

    def _events(self, query: str) -> Response:
        """`follow` (default true) and `recent` (default 0) are in the query string."""
        fields = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            wanted = msgspec.convert(fields, EventQuery, strict=False)
        except msgspec.ValidationError:
            return failure(400, "invalid", "events takes follow=true|false and recent=NUMBER")
        if wanted.follow:
            return Response(200, content_type=JSON_LINES, stream=wanted)
        lines = self.events.recent(wanted.recent)
        return Response(200, b"".join(line + b"\n" for line in lines), JSON_LINES)

    async def _agent_status(self, params: Any) -> AgentStatus:
        return self._probes.status()

    async def _call(self, method: Method[Any, Any], body: bytes, peer: Peer | None) -> Response:
        started = perf_counter()
        code, response = await self._outcome(method, body)
        seconds = perf_counter() - started
        self._observe(method.name, code, seconds)
        level = logging.INFO if method.changes else logging.DEBUG
        log.log(level, "%s by %s: %s in %.1f ms", method.name, peer, code, seconds * 1e3)
        return response

    async def _outcome(self, method: Method[Any, Any], body: bytes) -> tuple[str, Response]:
        try:
            result = await self._handlers[method.name](decode_params(method, body))
            return "ok", Response(200, json.encode(result) + b"\n")
        except VoltError as error:
            return error.code, failure(error.http_status, error.code, error.message, error.hint)
        except Exception:
            return "internal", _unexpected(method.name)


def decode_params(method: Method[Any, Any], body: bytes) -> Any:
    """The parameters in `body`; an empty one means none. Raises Invalid, naming what is wrong."""
    try:
        return json.decode(body or b"{}", type=method.params)
    except msgspec.ValidationError as error:
        raise Invalid(_in_words(method, str(error)), _parameters_of(method)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the request body is not JSON: {error}") from error


def failure(
    status: int, code: str, message: str, hint: str | None = None, allow: str | None = None
) -> Response:
    """A response that is not a 2xx."""
    return Response(status, error_body(code, message, hint), allow=allow)


def _unexpected(what: str) -> Response:
    """Called in an except block: the traceback goes to the log, a reference to it to the caller."""
    reference = secrets.token_hex(4)
    log.exception("%s failed unexpectedly (reference %s)", what, reference)
    message = f"unexpected failure in {what} (reference {reference})"
    return failure(500, "internal", message, "the agent's log has the details under that reference")


def _in_words(method: Method[Any, Any], mistake: str) -> str:
    """msgspec's sentence, in the words of a caller who knows parameters, not objects and fields."""
    words = mistake.replace("Object contains unknown field", "there is no parameter")
    words = words.replace("Object missing required field", "a parameter is missing:")
    words = words.replace(" - at `$.", " in `").replace(" - at `$`", "")
    return f"{method.name}: {words[0].lower()}{_quoted(words[1:])}".replace("`", "'")


def _quoted(theirs: str) -> str:
    """What a caller wrote, fit for a message: one line, not too long."""
    return "".join(each if each.isprintable() else "?" for each in theirs[:QUOTED_MAX])


def _parameters_of(method: Method[Any, Any]) -> str:
    names = ", ".join(method.params.__struct_encode_fields__)
    return f"{method.name} takes a JSON object with: {names}" if names else "it takes none: {}"


def _pretty(value: object) -> bytes:
    return json.format(json.encode(value), indent=2) + b"\n"


_STATUS_PATHS = ("/healthz", "/readyz", "/status", "/metrics")

_FORBIDDEN = failure(
    403,
    "forbidden",
    "you may not use the control socket",
    "root and members of the group volt may: sudo usermod -aG volt YOU, then log in again",
)
