"""The warning for each error of the language model's server. Pure."""

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
)

from mind.events import TroubleCode
from mind.http_client import TooLong
from mind.model.completion import Flood, Nonsense

SERVER_FAILED = 500  # HTTP statuses from here on


class Busy(Exception):
    """The room has asked the model as often as it may."""


def trouble_code(error: BaseException) -> TroubleCode:
    """Give the code of the warning for an error."""
    if isinstance(error, Flood) or _has_cause(error, TooLong):
        return "mind_flood"
    if isinstance(error, Busy):
        return "mind_busy"
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


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Tell whether an error, or one that led to it, is of a kind."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
