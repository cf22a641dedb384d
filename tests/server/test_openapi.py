"""The OpenAPI page says what routes take, what they answer and where they want a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient

from kinema.server.app import create_app
from kinema.server.settings import Settings

OPEN = {
    *(("get", path) for path in ("/healthz", "/readyz", "/metrics", "/v1/session")),
    *((method, "/v1/session") for method in ("post", "delete")),
    ("post", "/v1/verify"),
}
"""Routes for anyone."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(data=tmp_path_factory.mktemp("data")))) as made:
        yield made


@pytest.fixture(scope="module")
def page(client: TestClient) -> dict[str, Any]:
    made: dict[str, Any] = client.get("/openapi.json").json()
    return made


def operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_answer_has_a_model_or_is_declared_as_no_json(page: dict[str, Any]) -> None:
    for method, path, operation in operations(page):
        content = operation["responses"]["200"].get("content")
        assert content, (method, path)
        for kind, answer in content.items():
            assert kind != "application/json" or set(answer["schema"]) & {"$ref", "type"}, (method, path)


def test_every_route_that_wants_a_key_says_so(page: dict[str, Any], client: TestClient) -> None:
    scheme = page["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for method, path, operation in operations(page):
        assert operation.get("security") == (None if (method, path) in OPEN else [{"key": []}]), (method, path)
        answer = client.request(method, path)
        assert (answer.status_code == 401) == ((method, path) not in OPEN), (method, path, answer.text)


def test_errors_and_all_that_is_referred_to_have_schemas(page: dict[str, Any]) -> None:
    schemas = page["components"]["schemas"]
    details = schemas["ErrorDetails"]["properties"]
    assert set(details) == {"message", "type", "param", "code"}
    for _, path, operation in operations(page):
        if path.startswith("/v1/"):
            schema = operation["responses"]["400"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorBody"}, path

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                yield from references(inner)

    assert {name.removeprefix("#/components/schemas/") for name in references(page)} <= set(schemas)


def taken(page: dict[str, Any], path: str) -> tuple[set[str], dict[str, Any]]:
    """The media types and the schema of what a route takes."""
    content = page["paths"][path]["post"]["requestBody"]["content"]
    (reference,) = {one["schema"]["$ref"] for one in content.values()}
    return set(content), page["components"]["schemas"][reference.rpartition("/")[2]]


def test_bodies_name_their_fields(page: dict[str, Any]) -> None:
    kinds, schema = taken(page, "/v1/keys")
    assert kinds == {"application/json", "multipart/form-data"} and schema["required"] == ["name"]
    limits = {"quota", "rate", "concurrency", "daily_quota", "max_worlds"}
    assert set(schema["properties"]) == {"name", "scopes", "expires_in_days", *limits}
    for path in ("/v1/videos", "/v1/estimate"):
        kinds, schema = taken(page, path)
        assert kinds == {"application/json", "multipart/form-data"} and "required" not in schema
        assert {"prompt", "seconds", "size", "fps", "seed", "input_reference", "keyframes", "model"} < set(
            schema["properties"]
        )
        assert schema["properties"]["seconds"]["anyOf"][0] == {"type": "number", "minimum": 0.01, "maximum": 600.0}
    assert taken(page, "/v1/session")[0] == {"application/json"}
