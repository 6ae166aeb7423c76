"""Errors as HTTP answers: RFC 9457 problem details on every path.

`error` is a code for programs and `detail` a sentence for people; `type`, `title` and `status` are
the standard's. Maps exceptions to answers; knows no route.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match

from protocol.errors import InvalidInput, expected, place, without_results
from token_service.problems import PROBLEMS
from token_service.refusals import Refused, Unavailable, redis_trouble

log = structlog.stdlib.get_logger(__name__)

CODES = {413: "too_long"}  # Python 3.13 gave the status another name
# FastAPI's words for a body that Python's json fails to read otherwise than by its grammar.
UNREADABLE = "There was an error parsing the body"
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    error: str


def problem(status: int, code: str, sentence: str) -> Problem:
    return Problem(
        type=f"urn:moshi-rooms:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=sentence,
        error=code,
    )


def _described(status: int, sentence: str) -> dict[str, Any]:
    """Return OpenAPI's description of a refusal; `server/document.py` adds the examples."""
    examples = {
        each.code: {"$ref": f"#/components/examples/{each.name}"}
        for each in PROBLEMS
        if each.status == status
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "examples": examples}}
    return {"description": sentence, "content": content}


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: _described(status, sentence)
    for status, sentence in {
        400: "A field is invalid; `detail` names it.",
        401: "The bearer is missing, invalid or expired.",
        403: "The caller lacks the right: a scope, the room, or the identity.",
        404: "The caller has no such session, or the session has no such persona.",
        408: "The body took too long.",
        409: "The session is in a state that does not allow this.",
        413: "The body is too long.",
        429: "The caller sent too many requests; retry after `Retry-After` seconds.",
        500: "The service failed; its log has the reason.",
        503: "The service cannot do this now; retry after `Retry-After` seconds.",
    }.items()
}


BEYOND = _described(416, "`Range` begins beyond the file's end, which `Content-Range` tells.")


def problem_answer(
    status: int, code: str, sentence: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return a problem as an answer that no cache stores."""
    headers = {"Cache-Control": "no-store"} | (headers or {})
    body = problem(status, code, sentence)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Let the app answer exceptions with problems."""
    for kind in (
        InvalidInput,
        RequestValidationError,
        Refused,
        RedisError,
        HTTPException,
        ClientDisconnect,
        Exception,
    ):
        app.add_exception_handler(kind, answer_to)


async def answer_to(request: HTTPConnection, error: Exception) -> Response:
    """Return the problem for an exception. For unknown ones the framework logs a traceback."""
    if isinstance(error, RedisError):
        log.warning("redis_error", kind=type(error).__name__, said=str(error))
        error = redis_trouble(error)
    if isinstance(error, Unavailable):
        log.warning("request_unavailable", code=error.code)
    match error:
        case Refused():
            return problem_answer(error.status, error.code, str(error), error.headers)
        case InvalidInput():
            return problem_answer(400, "invalid_input", str(error))
        case RequestValidationError():
            return problem_answer(400, "invalid_input", _faults(request, error))
        case HTTPException():
            return _http_error(request, error)
        case ClientDisconnect():
            return problem_answer(400, "aborted", "The body ended early.")
        case _:
            return problem_answer(500, "failure", "The service failed; its log has the reason.")


def _faults(request: HTTPConnection, error: RequestValidationError) -> str:
    """Name the invalid fields; their values stay out, because one may be a prompt."""
    if isinstance(error.body, bytes):  # it was not read as JSON
        found = request.headers.get("Content-Type")
        given = "none was given" if found is None else f"got {found[:100]!r}"
        return f"Content-Type: {given}; expected application/json"
    faults, fields = without_results(error.errors()), _fields_of(request)
    return "; ".join(_fault(each, fields) for each in faults)[:2000]


def _fields_of(request: HTTPConnection) -> list[str]:
    """Return the names of the fields of the body that the request's path takes."""
    body = getattr(request.scope.get("route"), "body_field", None)
    kind = body and body.field_info.annotation
    kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type)]
    return [name for each in kinds if issubclass(each, BaseModel) for name in each.model_fields]


def _fault(fault: Mapping[str, Any], fields: Sequence[str]) -> str:
    if fault["type"] == "json_invalid":  # its place is no field
        reason = fault["ctx"]["error"]
        return f"body: {reason} at character {fault['loc'][-1]}; expected JSON"
    choices = fields if len(fault["loc"]) == 2 else ()
    return f"{place(fault['loc'][1:]) or 'body'}: {expected(fault, choices)}"


def _http_error(request: HTTPConnection, error: HTTPException) -> Response:
    """Answer the framework's own refusals: unknown paths, wrong methods, bodies too long."""
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NO_CONTENT:
        return Response(status_code=status)
    headers = dict(error.headers or {})
    if status is HTTPStatus.BAD_REQUEST and error.detail == UNREADABLE:
        sentence = "body: expected JSON in UTF-8, with numbers of at most 4300 digits"
        return problem_answer(status, "invalid_input", sentence)
    if status is HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _methods_of(request)):
        headers["Allow"] = ", ".join(allowed)
    code = CODES.get(status, status.name.lower())
    return problem_answer(status, code, str(error.detail), headers)


def _methods_of(request: HTTPConnection) -> list[str]:
    """List the methods of a request's path: the framework names those of one route alone."""
    routes: list[BaseRoute] = request.app.routes

    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    found = [method for method in ("GET", "POST", "DELETE") if has(method)]
    return [*found, "HEAD"] if "GET" in found else found
