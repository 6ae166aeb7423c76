"""The OpenAPI document: it is valid, and names bearers, refusals, bodies and examples correctly."""

import ast
import re
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import jsonschema
import pytest
from redis.asyncio import Redis
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from protocol.commands import Refusal
from protocol.config.settings import PROJECT, Settings
from tests.token_service.players import beat
from token_service.app import create_app
from token_service.errors import CODES, Problem

REFUSALS = {"Refused", "Unavailable", "InvalidInput", "HTTPException", "_described"}
RAISED = {"Refused", "Unavailable", "problem_answer"}
CODE = r"[a-z]+(_[a-z]+)*"
FRAMEWORKS = {"not_found", "method_not_allowed", "request_timeout"}
RIDDLE = re.compile(
    r"^(who|whom|whose|what)\b|\b(nobody|somebody|anybody|everybody|whoever|those who|whom)\b"
    r"|\bwhat (is|was|it|a|the)\b",
    re.IGNORECASE,
)


@pytest.fixture
def document(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of a service with default settings."""
    return create_app(settings).openapi()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """The document and each of its schemas are valid by the specification of OpenAPI 3.1."""
    faults = [
        f"{fault.instance_path}: {fault.message}"
        for fault in OPENAPI_31_VALIDATOR.iter_errors(document)
    ]

    assert document["openapi"] == "3.1.0"
    assert faults == []
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_document_names_the_needed_bearer(document: dict[str, Any]) -> None:
    """Each operation names the bearer and scope it needs, or LiveKit's signature, or nothing."""
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


def test_with_api_keys_the_document_requires_a_bearer(keyed: Settings) -> None:
    """The document of a service with API keys requires a bearer for `POST /token`."""
    said = operations(create_app(keyed).openapi())

    assert said["POST", "/token"]["security"] == [{"bearer": ["talk"]}]


def test_refusals_have_their_own_media_type(document: dict[str, Any]) -> None:
    """Each refusal, except the 503 of `/ready`, is a problem by RFC 9457 and has an example."""
    for (_, path), operation in operations(document).items():
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and (path, status) != ("/ready", "503"):
                (content,) = answer["content"].items()
                assert content[0] == "application/problem+json"
                assert content[1]["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert examples_of(content[1], document), (path, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def examples_of(content: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Return the problems that a refusal's examples refer to."""
    names = [each["$ref"].rpartition("/")[2] for each in content["examples"].values()]
    return [document["components"]["examples"][name]["value"] for name in names]


def constants(call: ast.Call) -> list[str]:
    """Return the texts among a call's arguments in the source."""
    return [
        text.value
        for text in ast.walk(call)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    ]


def codes_of_the_source() -> set[str]:
    """Return every code of a problem that the service's source names."""
    calls = [
        node
        for path in (PROJECT / "token_service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") in RAISED or "super().__init__" in ast.unparse(node.func))
    ]
    given = [each for call in calls for each in call.args[:2] if isinstance(each, ast.Constant)]
    found = {str(each.value) for each in given if re.fullmatch(CODE, str(each.value))}
    return found | set(CODES.values()) | set(get_args(Refusal))


def test_every_problem_has_an_example(document: dict[str, Any]) -> None:
    """Each code that the source raises has an example, and each example belongs to an operation."""
    given = [each["value"] for each in document["components"]["examples"].values()]
    problems = [Problem.model_validate(each) for each in given]
    of_routes = {
        example["error"]
        for operation in operations(document).values()
        for status, answer in operation["responses"].items()
        if "application/problem+json" in answer.get("content", {})
        for example in examples_of(answer["content"]["application/problem+json"], document)
    }

    named = {each.error for each in problems}
    assert codes_of_the_source() - {"prompt_too_long"} <= named  # which is in events alone
    assert named - codes_of_the_source() == FRAMEWORKS | {"persona_unknown"}
    assert of_routes == named - {"method_not_allowed"}  # method_not_allowed belongs to no operation


def test_every_body_has_examples_that_are_valid(document: dict[str, Any]) -> None:
    """Each body has examples, which are valid by the body's schema."""
    for (_, path), operation in operations(document).items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"] | {"components": document["components"]}
            name = schema.get("$ref", "").rpartition("/")[2]
            examples = document["components"]["schemas"].get(name, schema)["examples"]
            assert examples, path
            for example in examples:
                jsonschema.Draft202012Validator(schema).validate(example)


def references(part: Any) -> Iterator[str]:
    """Yield every reference of an OpenAPI document."""
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        yield part["$ref"]
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from references(inner)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Every reference leads to a component of the document itself."""
    for reference in set(references(document)):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_operations_have_short_names_and_tags(document: dict[str, Any]) -> None:
    """Operations have unique names of at most four words, and every tag is described."""
    said = operations(document).values()
    names = [operation["operationId"] for operation in said]
    tags = {tag["name"] for tag in document["tags"]}

    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name)] == []
    assert {tag for operation in said for tag in operation["tags"]} == tags
    assert document["info"]["description"]


def texts(schema: Any) -> Iterator[str]:
    """Yield every summary and description of an OpenAPI document."""
    if isinstance(schema, dict):
        yield from (schema[key] for key in ("summary", "description") if key in schema)
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from texts(inner)


def sentences() -> Iterator[str]:
    """Yield every text that the service's code passes to a refusal."""
    for path in (PROJECT / "token_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                yield from constants(node)


def test_descriptions_and_refusals_name_their_subject(document: dict[str, Any]) -> None:
    """No description or refusal says `somebody`, `what is` or the like in place of its subject."""
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
async def test_a_body_without_the_content_type_of_json_is_refused(
    http: httpx.AsyncClient, redis: Redis, path: str, content_type: str | None, said: str
) -> None:
    """A body whose Content-Type is not JSON is refused, and the detail names the header."""
    await beat(redis)
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await http.post(path, content=b'{"text": "Hello."}', headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_input")
    assert answer.json()["detail"] == f"Content-Type: {said}; expected application/json"
