"""Errors on the wire: `{"error": {"code", "message", "hint"}}`, from VoltError and back."""

from __future__ import annotations

from msgspec import DecodeError, Struct, json

from ..errors import (
    AgentNotRunning,
    Failed,
    Forbidden,
    Invalid,
    KernelRefused,
    NotFound,
    Refused,
    StoreFailed,
    VoltError,
)

_BY_CODE: dict[str, type[VoltError]] = {
    each.code: each
    for each in (
        AgentNotRunning,
        Failed,
        Forbidden,
        Invalid,
        KernelRefused,
        NotFound,
        Refused,
        StoreFailed,
    )
}


class ErrorDetail(Struct, frozen=True):
    """`code` is stable; `message` is one line (several for a wrong configuration); `hint` says what
    to do next."""

    code: str
    message: str
    hint: str | None = None


class ErrorBody(Struct, frozen=True):
    """The body of every response that is not a 2xx."""

    error: ErrorDetail


def error_body(code: str, message: str, hint: str | None = None) -> bytes:
    """The body, as JSON with a newline at the end."""
    return json.encode(ErrorBody(ErrorDetail(code, message, hint))) + b"\n"


def error_from(status: int, body: bytes) -> VoltError:
    """The exception that a client raises for a response with `status` and `body`.

    A code that this version does not know becomes Failed, and so does a body that is not volt's.
    """
    try:
        detail = json.decode(body, type=ErrorBody).error
    except DecodeError:
        return Failed(f"the agent answered {status} without an explanation")
    return _BY_CODE.get(detail.code, Failed)(detail.message, hint=detail.hint)
