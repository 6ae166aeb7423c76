"""Changes of a promise while its room is in use. Pure: a promise in, the changed promise out.

Raises `Refused` where the promise has no such persona, or would have none or too many.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from protocol.personas import PERSONAS_PER_ROOM
from protocol.promise import (
    SAYING_LIFE_S,
    SAYINGS_KEPT,
    Promise,
    PromisedPersona,
    Saying,
)
from token_service.problems import Refused


def persona_of(promise: Promise, persona_id: str | None) -> PromisedPersona:
    """The persona with this id, or the only one where none is given."""
    if persona_id is None and len(promise.personas) == 1:
        return promise.personas[0]
    for persona in promise.personas:
        if persona.id == persona_id:
            return persona
    choices = ", ".join(persona.id for persona in promise.personas)
    code, status = "persona_unknown", HTTPStatus.NOT_FOUND
    raise Refused(status, code, f"persona_id={persona_id!r:.80}: choices: {choices}")


def with_more(promise: Promise, newcomers: tuple[PromisedPersona, ...]) -> Promise:
    """The promise with more personas."""
    if len(promise.personas) + len(newcomers) > PERSONAS_PER_ROOM:
        raise Refused(
            HTTPStatus.CONFLICT,
            "too_many_personas",
            f"A room has at most {PERSONAS_PER_ROOM} personas; this one has "
            f"{len(promise.personas)}.",
        )
    return promise.model_copy(update={"personas": promise.personas + newcomers})


def without(promise: Promise, persona_id: str) -> Promise:
    """The promise without one of its personas."""
    leaver = persona_of(promise, persona_id)
    rest = tuple(each for each in promise.personas if each is not leaver)
    if not rest:
        raise Refused(
            HTTPStatus.CONFLICT, "last_persona", "A session has a persona; end the session instead."
        )
    return promise.model_copy(update={"personas": rest})


def muted(promise: Promise, persona_id: str | None, is_muted: bool) -> Promise:
    """The promise with one persona, or all, heard no more or again."""
    return _each(promise, persona_id, lambda each: {"muted": is_muted})


def forgetting(promise: Promise, persona_id: str | None) -> Promise:
    """The promise with a fresh memory for one persona, or all."""
    return _each(promise, persona_id, lambda each: {"forget": each.forget + 1})


def saying(promise: Promise, persona_id: str | None, line: Saying) -> Promise:
    """The promise with one more line to say; those that are too old to be said go."""
    speaker = persona_of(promise, persona_id)

    def lines(each: PromisedPersona) -> dict[str, Any]:
        fresh = [old for old in each.say if old.at_s > line.at_s - SAYING_LIFE_S]
        return {"say": (*fresh, line)[-SAYINGS_KEPT:]}

    return _each(promise, speaker.id, lines)


def those_meant(promise: Promise, persona_id: str | None) -> Iterable[PromisedPersona]:
    """One persona, or all where none is given."""
    return promise.personas if persona_id is None else (persona_of(promise, persona_id),)


def _each(
    promise: Promise, persona_id: str | None, update: Callable[[PromisedPersona], dict[str, Any]]
) -> Promise:
    meant = {each.id for each in those_meant(promise, persona_id)}
    personas = tuple(
        each.model_copy(update=update(each)) if each.id in meant else each
        for each in promise.personas
    )
    return promise.model_copy(update={"personas": personas})
