"""Corrections of the OpenAPI document that FastAPI generates. Pure."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from token_service.errors import Problem
from token_service.http.access import BEARER

EVENTS = {
    "type": "string",
    "description": "Server-sent events: `event` is the type, `data` the event as JSON, `id` the "
    "position for `Last-Event-ID`.",
}
NEEDS_NO_BEARER = frozenset({"loopback", "open"})  # modes that admit callers without one


def describe(app: FastAPI, modes: Iterable[str]) -> None:
    """Replace the app's `openapi` by one that returns the corrected document, made once."""
    make = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(make())
            _correct(document, bearer_is_optional=not NEEDS_NO_BEARER.isdisjoint(modes))
        return document

    app.openapi = openapi


def _correct(document: dict[str, Any], bearer_is_optional: bool) -> None:
    schemas = document["components"]["schemas"]
    for of_fastapi in ("HTTPValidationError", "ValidationError"):
        schemas.pop(of_fastapi, None)
    schemas["Problem"] = Problem.model_json_schema()
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # invalid requests are answered with 400
            for answer in operation["responses"].values():
                for kind, content in answer.get("content", {}).items():
                    if "itemSchema" in content:  # of OpenAPI 3.2; the document is 3.1
                        answer["content"][kind] = {"schema": EVENTS}
            security: list[dict[str, Any]] = operation.get("security", [])
            if bearer_is_optional and any(BEARER.scheme_name in each for each in security):
                security.append({})
