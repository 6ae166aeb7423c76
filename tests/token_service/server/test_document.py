"""The OpenAPI document: valid, and what it says of bearers, refusals and bodies is so."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from redis.asyncio import Redis
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from protocol.config.settings import PROJECT, Settings
from tests.token_service.players import beat
from token_service.app import create_app

REFUSALS = {"Refused", "Unavailable", "InvalidInput", "HTTPException", "_described"}
RIDDLE = re.compile(
    r"^(who|whom|whose|what)\b|\b(nobody|somebody|anybody|everybody|whoever|those who|whom)\b"
    r"|\bwhat (is|was|it|a|the)\b",
    re.IGNORECASE,
)


@pytest.fixture
def document(settings: Settings) -> dict[str, Any]:
    """The document of a service in its default mode."""
    return create_app(settings).openapi()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """By the specification's own schema of OpenAPI 3.1, and so is each schema in it."""
    faults = [
        f"{fault.instance_path}: {fault.message}"
        for fault in OPENAPI_31_VALIDATOR.iter_errors(document)
    ]

    assert document["openapi"] == "3.1.0"
    assert faults == []
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_document_says_who_needs_a_bearer(document: dict[str, Any]) -> None:
    """With its scope; in the default mode this machine needs none; LiveKit signs its webhooks."""
    schemes = document["components"]["securitySchemes"]
    said = {each: operation.get("security") for each, operation in operations(document).items()}

    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["livekit"]["type"], schemes["livekit"]["name"]) == ("apiKey", "Authorization")
    assert said["POST", "/token"] == [{"bearer": ["talk"]}, {}]
    assert said["DELETE", "/sessions/{session_id}"] == [{"bearer": ["manage"]}, {}]
    assert said["GET", "/sessions/{session_id}/events"] == [{"bearer": ["observe"]}, {}]
    assert said["POST", "/webhook"] == [{"livekit": []}]
    assert {path for (_, path), needed in said.items() if needed is None} == {
        "/personas",
        "/voices",
        "/health",
        "/ready",
        "/api/config",
    }


def test_where_everybody_needs_a_bearer_the_document_says_so(keyed: Settings) -> None:
    """With API keys nobody comes in without one."""
    said = operations(create_app(keyed).openapi())

    assert said["POST", "/token"]["security"] == [{"bearer": ["talk"]}]


def test_refusals_have_their_own_media_type(document: dict[str, Any]) -> None:
    """Each is a problem, as RFC 9457 has it; FastAPI's own shape of faults is nowhere."""
    for operation in operations(document).values():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }
    assert "HTTPValidationError" not in document["components"]["schemas"]


def texts(schema: Any) -> Iterator[str]:
    """Every summary and description of an OpenAPI document."""
    if isinstance(schema, dict):
        yield from (schema[key] for key in ("summary", "description") if key in schema)
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from texts(inner)


def sentences() -> Iterator[str]:
    """Every text that the service's code passes to a refusal."""
    for path in (PROJECT / "token_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                yield from (
                    text.value
                    for text in ast.walk(node)
                    if isinstance(text, ast.Constant) and isinstance(text.value, str)
                )


def test_descriptions_and_refusals_name_their_subject(document: dict[str, Any]) -> None:
    """A session, a caller or a persona; "somebody" and "what is" make a reader guess."""
    said = [*filter(None, texts(document)), *sentences()]

    assert [text for text in said if RIDDLE.search(text)] == []


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        (None, "none was given"),
        ("application/x-www-form-urlencoded", "got 'application/x-www-form-urlencoded'"),
        ("text/plain; charset=utf-8", "got 'text/plain; charset=utf-8'"),
    ],
)
@pytest.mark.parametrize("path", ["/sessions", "/sessions/x/say", "/sessions/x/guests"])
async def test_a_body_that_is_not_called_json_is_told_so(
    http: httpx.AsyncClient, redis: Redis, path: str, content_type: str | None, said: str
) -> None:
    """curl's `-d` without a header sends a form: the answer names the header, not a field."""
    await beat(redis)
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await http.post(path, content=b'{"text": "Hello."}', headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_input")
    assert answer.json()["detail"] == f"Content-Type: {said}; expected application/json"
