"""GET /v1/openapi.json describes what is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.control.rig import Rig
from volt_agent.control.methods import METHODS


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with Rig() as rig:
        status, headers, body = rig.request("GET", "/v1/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    """The required fields of the specification (sections 4.8.1 to 4.8.17)."""
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= document["info"].keys()
    for path, item in document["paths"].items():
        assert path.startswith("/")
        for verb, operation in item.items():
            assert verb in ("get", "post")
            assert operation["responses"]
            for response in operation["responses"].values():
                assert "description" in response or "$ref" in response


def test_every_method_is_there(document: dict[str, Any]) -> None:
    """With its parameters, its result, and the error all share."""
    served = {name: each for name, each in METHODS.items() if f"/v1/{name}" in document["paths"]}
    assert served.keys() >= {"net.create", "ps", "status"}
    for name, method in served.items():
        operation = document["paths"][f"/v1/{name}"]["post"]
        assert operation["operationId"] == name
        assert operation["x-volt-changes"] is method.changes
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/" + method.params.__name__)
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """No dangling $ref."""
    found = set(references(document))
    assert found
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert isinstance(target, dict)


def test_unknown_parameters_are_ruled_out(document: dict[str, Any]) -> None:
    """The schema says what the server does."""
    assert document["components"]["schemas"]["CreateNetwork"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "keys"),
    [
        ("Network", "name bridge subnet gateway mtu nat internal connected status"),
        ("Workload", "name kind runtime state networks"),
        ("Attachment", "network ip mac interface"),
        ("DnsEntry", "name type address network workload"),
    ],
)
def test_the_keys_that_users_script_against(
    document: dict[str, Any], schema: str, keys: str
) -> None:
    """These names never change."""
    assert set(keys.split()) <= document["components"]["schemas"][schema]["properties"].keys()


def test_the_other_paths_are_there(document: dict[str, Any]) -> None:
    """Whatever answers is described."""
    others = {"/v1/events", "/v1/openapi.json", "/healthz", "/readyz", "/status", "/metrics"}
    assert others == {path for path in document["paths"] if path[4:] not in METHODS}
