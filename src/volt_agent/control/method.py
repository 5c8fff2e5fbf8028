"""Method: the name of a call, the type of its parameters and the type of its result."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

P = TypeVar("P", bound=Struct)
R = TypeVar("R")


class Method(Struct, Generic[P, R], frozen=True):
    """One call of the RPC, `POST /v1/NAME`.

    `params` is a Struct that refuses unknown keys; `result` is what a 200 carries. `changes` says
    that it alters the desired state or the kernel: such calls are logged with their caller.
    `summary` is one line for openapi.json and the documentation.
    """

    name: str
    params: type[P]
    result: type[R]
    summary: str
    changes: bool = False


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parameters: keyword-only, immutable, and a misspelled key is an error."""


class Nothing(Params, frozen=True):
    """The parameters of a call that takes none."""
