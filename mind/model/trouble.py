"""The warning for each error of the language model's server. Pure."""

import math

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
)

from mind.events import TroubleCode
from mind.http_client import Compressed, TooLong
from mind.model.completion import Flood, Nonsense

SERVER_FAILED = 500  # HTTP statuses from here on
# Statuses of a refusal for what is in the request; the next room's may be fine.
OF_REQUEST = frozenset({400, 409, 413, 414, 422, 431})


class Busy(Exception):
    """The room has asked the model as often as it may."""


class Late(Exception):
    """An answer with its functions took too long, though no call of the model did."""


def trouble_code(error: BaseException) -> TroubleCode:
    """Return the code of the warning for an error."""
    if isinstance(error, Flood) or _has_cause(error, TooLong):
        return "mind_flood"
    if _has_cause(error, Compressed):
        return "mind_nonsense"
    if isinstance(error, Busy):
        return "mind_busy"
    if isinstance(error, Late):
        return "mind_late"
    if isinstance(error, (TimeoutError, APITimeoutError)):
        return "mind_slow"
    if isinstance(error, httpx2.TimeoutException):
        return "mind_slow"
    if isinstance(error, (APIConnectionError, httpx2.TransportError)):
        return "mind_away"
    if isinstance(error, APIStatusError):
        return "mind_away" if error.status_code >= SERVER_FAILED else "mind_refused"
    # ValueError: a piece is no JSON, or no UTF-8.
    if isinstance(error, (Nonsense, APIResponseValidationError, ValueError)):
        return "mind_nonsense"
    return "mind_refused" if isinstance(error, APIError) else "mind_failed"


def is_of_server(error: BaseException) -> bool:
    """Return whether the model's server would fail other rooms' requests, too."""
    if isinstance(error, APIStatusError):
        return error.status_code not in OF_REQUEST
    return trouble_code(error) in ("mind_away", "mind_slow")


def asks_to_wait_s(error: BaseException) -> float:
    """Return how long the server asks to be left alone, in seconds; 0: it does not say."""
    if not isinstance(error, APIStatusError):
        return 0.0
    try:
        wait_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:  # a date, which no server of models gives
        return 0.0
    return wait_s if math.isfinite(wait_s) else 0.0


def about(error: BaseException) -> dict[str, str | int]:
    """Return what a log may say of an error: kinds and a status, for a text may show a key."""
    told: dict[str, str | int] = {"error": type(error).__name__}
    if isinstance(error, APIStatusError):
        told["status"] = error.status_code
    cause = error
    while (next_cause := cause.__cause__ or cause.__context__) is not None:
        cause = next_cause
    if cause is not error:
        told["cause"] = type(cause).__name__
    return told


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Return whether an error, or one that led to it, is of a kind."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
