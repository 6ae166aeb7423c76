"""The OpenAPI document, where FastAPI's own says something else than the service does. Pure."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from token_service.auth.authenticator import BEARER
from token_service.errors import MEDIA_TYPE

EVENTS = {
    "type": "string",
    "description": "Server-sent events: `event` is the type, `data` the event as JSON, `id` what "
    "`Last-Event-ID` goes on from.",
}
NEEDS_NO_BEARER = frozenset({"loopback", "open"})  # modes that let some in without one


def describe(app: FastAPI, modes: Iterable[str]) -> None:
    """Have the app give the amended document, made once."""
    made = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(made())
            _amend(document, bearer_is_optional=not NEEDS_NO_BEARER.isdisjoint(modes))
        return document

    app.openapi = openapi


def _amend(document: dict[str, Any], bearer_is_optional: bool) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if (content := answer.get("content")) is not None:
                    answer["content"] = _content(content, is_refusal=int(status) >= 400)
            security: list[dict[str, Any]] = operation.get("security", [])
            if bearer_is_optional and any(BEARER.scheme_name in each for each in security):
                security.append({})


def _content(content: dict[str, Any], is_refusal: bool) -> dict[str, Any]:
    """Refusals have the standard's media type; events no `itemSchema`, which OpenAPI 3.2 has."""
    if is_refusal:
        return {MEDIA_TYPE: next(iter(content.values()))}
    return {kind: {"schema": EVENTS} if "itemSchema" in it else it for kind, it in content.items()}
