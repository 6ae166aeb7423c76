"""Refusals: an HTTP status, a code for programs and a sentence for people. Knows no framework."""

from http import HTTPStatus

from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

AWAY_RETRY_S = 2


class Refused(Exception):
    """A refusal: an HTTP status, a code for programs and a sentence for people."""

    def __init__(
        self, status: HTTPStatus, code: str, sentence: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.headers = headers or {}


class Unavailable(Refused):
    """A temporary refusal: 503 with `Retry-After`."""

    def __init__(self, code: str, sentence: str, retry_after_s: int) -> None:
        headers = {"Retry-After": str(retry_after_s)}
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, code, sentence, headers)
        self.retry_after_s = retry_after_s


class LiveKitAway(Unavailable):
    """LiveKit does not answer, refuses our key, or fails; `said` is for the log alone."""

    def __init__(self, sentence: str = "LiveKit does not answer.", said: str = "") -> None:
        super().__init__("livekit_away", sentence, AWAY_RETRY_S)
        self.said = said


class SpecUnreadable(Unavailable):
    """The room's spec is of a newer version, which another replica runs: nothing is changed."""

    def __init__(self) -> None:
        super().__init__("busy", "A newer version of this service has this room. Try again.", 2)


def redis_full() -> Unavailable:
    return Unavailable("redis_full", "Redis is full, so no new room can open. Try again soon.", 30)


def redis_trouble(error: RedisError) -> Unavailable:
    """Return the refusal for an error of redis: full, refusing or away."""
    if not isinstance(error, (ResponseError, AuthenticationError)):
        return Unavailable("redis_away", "Redis does not answer.", AWAY_RETRY_S)
    if isinstance(error, OutOfMemoryError) or "OOM" in str(error):  # a script's has no class
        return redis_full()
    kind = error.status_code or str(error).partition(" ")[0]
    return Unavailable("redis_refuses", f"Redis refuses a command: {kind:.40}.", 10)


def full() -> Unavailable:
    return Unavailable("full", "All places are taken at the moment. Try again soon.", 15)


def too_slow() -> Unavailable:
    sentence = "The model is busy. The conversations that run take all of its time. Try again soon."
    return Unavailable("too_slow", sentence, 15)


def over() -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, "session_ended", "This session has ended.")


def bad_bearer() -> Refused:
    sentence = "Authorization: invalid or expired token."
    headers = {"WWW-Authenticate": "Bearer"}
    return Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", sentence, headers)


def bad_signature() -> Refused:
    sentence = "Authorization: expected LiveKit's signature of this body."
    return Refused(HTTPStatus.UNAUTHORIZED, "bad_signature", sentence)


def not_live() -> Refused:
    """Return the refusal for a session without a host."""
    return Refused(
        HTTPStatus.CONFLICT,
        "not_live",
        "No persona is in the room. Personas come once a person has joined; try again when the "
        "session's state is 'live'.",
    )


def recording_off() -> Refused:
    """Return the refusal where no place for recordings is set."""
    sentence = "record: recordings have no place here. Set RECORD_DIR or RECORD_S3_BUCKET."
    return Refused(HTTPStatus.BAD_REQUEST, "recording_off", sentence)
