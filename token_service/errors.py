"""What goes wrong, as HTTP says it: RFC 9457 problem details, on every path.

`error` is a code for programs and `detail` a sentence for people, as they always were; `type`,
`title` and `status` are the standard's. Owns the shape and the mapping from exceptions to
statuses. Knows no route.
"""

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match

from protocol.errors import InvalidInput

log = structlog.stdlib.get_logger(__name__)

AWAY_RETRY_S = 2
CODES = {413: "too_long"}  # Python 3.13 gave the status another name
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    error: str


class Refused(Exception):
    """Not so: answered with a status of its own, a code for programs and a sentence for people."""

    def __init__(
        self, status: HTTPStatus, code: str, sentence: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.headers = headers or {}


class Unavailable(Exception):
    """Not now: answered as 503 with `Retry-After`; `code` says which of the reasons."""

    def __init__(self, code: str, sentence: str, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.code = code
        self.retry_after_s = retry_after_s


class LiveKitAway(Unavailable):
    """LiveKit does not answer, or refuses this service's key, or fails: `said` is for the log."""

    def __init__(self, sentence: str = "LiveKit does not answer.", said: str = "") -> None:
        super().__init__("livekit_away", sentence, AWAY_RETRY_S)
        self.said = said


class RedisAway(Unavailable):
    """Redis does not answer."""

    def __init__(self) -> None:
        super().__init__("redis_away", "Redis does not answer.", AWAY_RETRY_S)


def redis_full() -> Unavailable:
    """Redis has no memory left."""
    sentence = "Redis is full: there is no room for another conversation. Try again soon."
    return Unavailable("redis_full", sentence, 30)


def redis_trouble(error: RedisError) -> Unavailable:
    """Tell a redis that is full from one that refuses and one that is away."""
    if not isinstance(error, ResponseError):
        return RedisAway()
    if isinstance(error, OutOfMemoryError) or "OOM" in str(error):  # a script's has no class
        return redis_full()
    kind = str(error).partition(" ")[0]
    return Unavailable("redis_refuses", f"Redis refuses what it is asked: {kind:.40}.", 10)


def full() -> Unavailable:
    """No worker has the slots at the moment."""
    return Unavailable("full", "All places are taken at the moment. Try again soon.", 15)


def over() -> Refused:
    """A session that has ended lets nobody in."""
    return Refused(HTTPStatus.FORBIDDEN, "session_ended", "This session is over.")


def bad_bearer() -> Refused:
    """A bearer that is not known, or not any more."""
    sentence = "Authorization: this bearer is not good, or not any more."
    headers = {"WWW-Authenticate": "Bearer"}
    return Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", sentence, headers)


class BadSignature(Exception):
    """A webhook that LiveKit did not sign with our key."""

    def __init__(self) -> None:
        super().__init__("Authorization: expected LiveKit's signature of this body.")


def problem_answer(
    status: int, code: str, sentence: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """One problem as an answer that nobody keeps."""
    body = Problem(
        type=f"urn:moshi-rooms:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=sentence,
        error=code,
    )
    return JSONResponse(
        body.model_dump(),
        status_code=status,
        headers={"Cache-Control": "no-store"} | (headers or {}),
        media_type=MEDIA_TYPE,
    )


def answer_problems(app: FastAPI) -> None:
    """Teach an app the mapping."""
    app.add_exception_handler(InvalidInput, _invalid_input)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(BadSignature, _bad_signature)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RedisError, _redis_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failure)


async def _invalid_input(_: Request, error: Exception) -> JSONResponse:
    return problem_answer(400, "invalid_input", str(error))


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Name the fields; their values stay out, a prompt may be among them."""
    assert isinstance(error, RequestValidationError)
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'][1:]) or 'body'}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    if isinstance(error.body, bytes):  # it was not read as JSON
        found = request.headers.get("Content-Type")
        given = "none was given" if found is None else f"got {found[:100]!r}"
        faults = [f"Content-Type: {given}; expected application/json"]
    return problem_answer(400, "invalid_input", "; ".join(faults)[:2000])


async def _bad_signature(_: Request, error: Exception) -> JSONResponse:
    return problem_answer(401, "bad_signature", str(error))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return problem_answer(error.status, error.code, str(error), error.headers)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Unavailable)
    log.warning("request_unavailable", code=error.code)
    return problem_answer(503, error.code, str(error), {"Retry-After": str(error.retry_after_s)})


async def _redis_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RedisError)
    log.warning("redis_error", kind=type(error).__name__, said=str(error))
    return await _unavailable(request, redis_trouble(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: unknown paths, wrong methods, bodies too long."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _methods_of(request)):
        headers["Allow"] = ", ".join(allowed)
    code = CODES.get(status, status.name.lower())
    return problem_answer(status, code, str(error.detail), headers)


def _methods_of(request: Request) -> list[str]:
    """List the methods of a request's path: the framework names those of one route alone."""
    routes: list[BaseRoute] = request.app.routes

    def is_one(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    found = [method for method in ("GET", "POST", "DELETE") if is_one(method)]
    return [*found, "HEAD"] if "GET" in found else found


async def _gone(_: Request, error: Exception) -> JSONResponse:
    """A body that was not sent to its end; the answer reaches nobody."""
    return problem_answer(400, "aborted", "body: ended before its end.")


async def _failure(_: Request, error: Exception) -> JSONResponse:
    """A fault of ours; the framework logs it with its traceback."""
    return problem_answer(500, "failure", "Something went wrong on this side.")
