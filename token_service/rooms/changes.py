"""Changes of a spec while its room is in use. Pure: a spec in, the changed spec out.

Raises `Refused` where the spec has no such persona, or would have none or too many.
"""

from collections.abc import Iterable
from http import HTTPStatus

from protocol.personas import PERSONAS_PER_ROOM
from protocol.room_spec import PersonaSpec, RoomSpec
from token_service.refusals import Refused


def persona_of(spec: RoomSpec, persona_id: str | None) -> PersonaSpec:
    """Return the persona with this id, or the only one where no id is given."""
    if persona_id is None and len(spec.personas) == 1:
        return spec.personas[0]
    for persona in spec.personas:
        if persona.id == persona_id:
            return persona
    choices = ", ".join(persona.id for persona in spec.personas)
    code, status = "persona_unknown", HTTPStatus.NOT_FOUND
    given = (
        "persona_id: one of several is meant;"
        if persona_id is None
        else f"persona_id={persona_id!r:.80}:"
    )
    raise Refused(status, code, f"{given} choices: {choices}")


def with_more(spec: RoomSpec, newcomers: tuple[PersonaSpec, ...]) -> RoomSpec:
    if len(spec.personas) + len(newcomers) > PERSONAS_PER_ROOM:
        raise Refused(
            HTTPStatus.CONFLICT,
            "too_many_personas",
            f"A room has at most {PERSONAS_PER_ROOM} personas; this one has {len(spec.personas)}.",
        )
    return spec.model_copy(update={"personas": spec.personas + newcomers})


def without(spec: RoomSpec, persona_id: str) -> RoomSpec:
    leaver = persona_of(spec, persona_id)
    rest = tuple(each for each in spec.personas if each is not leaver)
    if not rest:
        raise Refused(
            HTTPStatus.CONFLICT, "last_persona", "A session has a persona; end the session instead."
        )
    return spec.model_copy(update={"personas": rest})


def muted(spec: RoomSpec, persona_id: str | None, is_muted: bool) -> RoomSpec:
    """Return the spec with one persona, or all, muted or not."""
    meant = {each.id for each in those_meant(spec, persona_id)}
    personas = tuple(
        each.model_copy(update={"muted": is_muted}) if each.id in meant else each
        for each in spec.personas
    )
    return spec.model_copy(update={"personas": personas})


def those_meant(spec: RoomSpec, persona_id: str | None) -> Iterable[PersonaSpec]:
    """Return one persona, or all where no id is given."""
    return spec.personas if persona_id is None else (persona_of(spec, persona_id),)
