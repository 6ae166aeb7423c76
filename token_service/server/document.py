"""Corrections of the OpenAPI document that FastAPI generates. Pure."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.routing import Route, request_response

from token_service.errors import Problem, problem
from token_service.http.access import BEARER
from token_service.http.cacheable import tagged
from token_service.http.token_request import TokenRequest
from token_service.problems import PROBLEMS

EVENTS = {
    "type": "string",
    "description": "Server-sent events: `event` is the type, `data` the event as JSON, `id` the "
    "position for `Last-Event-ID`.",
}
NEEDS_NO_BEARER = frozenset({"loopback", "open"})  # modes that admit callers without one

DESCRIPTION = """Talk with full-duplex AI voices in LiveKit rooms.

`POST /token` is LiveKit's standard token endpoint. `POST /sessions` opens a room with personas of
your choice; the session's other paths change it while people talk. An error is a problem as RFC
9457 defines it: `error` is its code for programs, and `detail` a sentence for people.
"""
TAGS = [
    {"name": "token", "description": "LiveKit's token endpoint: a participant's way into a room."},
    {"name": "sessions", "description": "Rooms with an owner: personas, people, events, an end."},
    {"name": "recordings", "description": "Sound and words of sessions that were recorded."},
    {"name": "status", "description": "The service, its workers, personas and voices."},
    {"name": "livekit", "description": "Webhooks of LiveKit."},
]


def describe(app: FastAPI, modes: Iterable[str]) -> None:
    """Replace the app's `openapi` by one that returns the corrected document, made once.

    Its path answers with an `ETag`, as other answers that are the same for all callers.
    """
    make = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(make())
            _correct(document, bearer_is_optional=not NEEDS_NO_BEARER.isdisjoint(modes))
        return document

    app.openapi = openapi
    for route in app.router.routes:
        if isinstance(route, Route) and route.path == app.openapi_url:
            route.app = request_response(tagged(route.endpoint))


def _correct(document: dict[str, Any], bearer_is_optional: bool) -> None:
    schemas = document["components"]["schemas"]
    for of_fastapi in ("HTTPValidationError", "ValidationError"):
        schemas.pop(of_fastapi, None)
    schemas["Problem"] = Problem.model_json_schema()
    schemas |= _components(TokenRequest)
    document["components"]["examples"] = {
        each.name: {
            "summary": each.code,
            "value": problem(each.status, each.code, each.sentence).model_dump(),
        }
        for each in PROBLEMS
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # invalid requests are answered with 400
            for answer in operation["responses"].values():
                for kind, content in answer.get("content", {}).items():
                    if "itemSchema" in content:  # of OpenAPI 3.2; the document is 3.1
                        answer["content"][kind] = {"schema": EVENTS}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                # Generated clients send a body that may be null even where they are given none.
                either = content["schema"].get("anyOf", [content["schema"]])
                content["schema"] = next(each for each in either if each != {"type": "null"})
            security: list[dict[str, Any]] = operation.get("security", [])
            if bearer_is_optional and any(BEARER.scheme_name in each for each in security):
                security.append({})


def _components(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a body that its route reads by itself, and those that it refers to."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return schema.pop("$defs", {}) | {model.__name__: schema}
