"""`GET /v1/openapi.json`: the whole interface as an OpenAPI 3.1 document, made from METHODS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import json

from .failure import ErrorBody
from .method import Method

_REF = "#/components/schemas/{name}"
_JSON = "application/json"


def openapi_document(methods: Mapping[str, Method[Any, Any]], version: str) -> dict[str, Any]:
    """The document for `methods` as served by volt `version`."""
    types = [ErrorBody]
    for method in methods.values():
        types += [method.params, method.result]
    schemas, components = json.schema_components(types, ref_template=_REF)
    error, *pairs = schemas
    paths = {
        f"/v1/{name}": {"post": _operation(method, *pairs[2 * place : 2 * place + 2])}
        for place, (name, method) in enumerate(methods.items())
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "volt control RPC", "version": version},
        "servers": [{"url": "http://volt", "description": "the agent's Unix socket"}],
        "paths": {**paths, "/v1/events": {"get": _EVENTS}, **_STATUS_PATHS},
        "components": {
            "schemas": components,
            "responses": {"Error": _response("Refused or failed", error)},
        },
    }


def _operation(
    method: Method[Any, Any], params: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    return {
        "operationId": method.name,
        "summary": method.summary,
        "tags": [method.name.rpartition(".")[0] or "agent"],
        "x-volt-changes": method.changes,
        "requestBody": {"content": {_JSON: {"schema": params}}},
        "responses": {"200": _response("Done", result), "default": _ERROR},
    }


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _probe(summary: str, media: str, also: dict[str, str] | None = None) -> dict[str, Any]:
    responses = {
        code: {"description": text, "content": {media: {}}}
        for code, text in {"200": summary, **(also or {})}.items()
    }
    return {"get": {"summary": summary, "tags": ["status"], "responses": responses}}


_ERROR = {"$ref": "#/components/responses/Error"}

_EVENTS: dict[str, Any] = {
    "operationId": "events",
    "summary": "What happens, as a WebSocket or as JSON lines",
    "tags": ["events"],
    "parameters": [
        {
            "name": "follow",
            "in": "query",
            "description": "false: end after the recent events",
            "schema": {"type": "boolean", "default": True},
        },
        {
            "name": "recent",
            "in": "query",
            "description": "how many past events come first",
            "schema": {"type": "integer", "minimum": 0, "default": 0},
        },
    ],
    "responses": {
        "101": {"description": "Upgraded: one text message for each event"},
        "200": {
            "description": "One object per line: event, time, then the fields of that event",
            "content": {"application/x-ndjson": {}},
        },
        "default": _ERROR,
    },
}

_STATUS_PATHS: dict[str, Any] = {
    "/v1/openapi.json": _probe("This document", _JSON),
    "/healthz": _probe("The agent is alive", _JSON),
    "/readyz": _probe(
        "Everything desired has taken effect", _JSON, {"503": "Not yet; `reasons` says why"}
    ),
    "/status": _probe("How the agent is", _JSON),
    "/metrics": _probe("Prometheus metrics", "text/plain"),
}
