"""A session's personas over HTTP: add, remove, mute, let one say a line or forget.

`say` and `forget` are commands, which the host accepts or refuses at once. The others change the
room spec; the host applies it within a second.
"""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from protocol.commands import Command
from protocol.events import PersonaChange
from protocol.room_spec import RoomSpec, fresh_id, persona_specs
from token_service.auth.callers import Caller
from token_service.errors import REFUSALS
from token_service.http.access import CountedRoute, Manager
from token_service.http.session_request import (
    MuteRequest,
    PersonaRequest,
    PersonasRequest,
    SayRequest,
)
from token_service.rooms import changes
from token_service.service import OpenService, Service
from token_service.sessions.session_view import PersonaView

router = APIRouter(
    prefix="/sessions/{session_id}", tags=["sessions"], responses=REFUSALS, route_class=CountedRoute
)


class SayAnswer(BaseModel):
    """An accepted line. The event `said` with this `id` tells its end."""

    id: str
    persona_id: str


@router.post("/personas", status_code=201)
async def add_personas(
    session_id: str, asked: PersonasRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Add personas; the conversation of the others continues."""
    personas = asked.chosen(service.catalogue)
    fleet = await service.workers.fleet()
    fleet.check_voices(personas, service.catalogue)
    await service.admission.prompts.check(personas, fleet)
    newcomers = persona_specs(personas)
    spec = await service.sessions.change(
        session_id, caller, lambda spec: changes.with_more(spec, newcomers)
    )
    return await _record(service, caller, spec, "added", [each.id for each in newcomers])


@router.delete("/personas/{persona_id}", status_code=204)
async def remove_persona(
    session_id: str, persona_id: str, service: OpenService, caller: Manager
) -> Response:
    """Remove a persona from the room. The last one cannot be removed: end the session instead."""
    spec = await service.sessions.change(
        session_id, caller, lambda spec: changes.without(spec, persona_id)
    )
    await _record(service, caller, spec, "removed", [persona_id])
    return Response(status_code=204)


@router.post("/say", status_code=202)
async def say(
    session_id: str, asked: SayRequest, service: OpenService, caller: Manager
) -> SayAnswer:
    """Let a persona say a line, once, at its next pause. 202: its host accepted the line.

    409: it cannot be said (`not_live`, `persona_muted`, `cannot_say` with the possible lines).
    503: try again. A person who speaks over the line, or a mute, ends it.
    """
    spec = await service.sessions.find_running(session_id, caller)
    speaker = changes.persona_of(spec, asked.persona_id)
    command = _command(spec, do="say", persona_id=speaker.id, text=asked.text)
    await service.commands.send(spec, command)
    await _record(service, caller, spec, "say", [speaker.id])
    return SayAnswer(id=command.id, persona_id=speaker.id)


@router.post("/forget", status_code=202)
async def forget(
    session_id: str, asked: PersonaRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Clear the memory of one persona, or of all, after the lines that it is saying.

    202: the host accepted the command. 409 and 503 as for `say`.
    """
    spec = await service.sessions.find_running(session_id, caller)
    meant = [each.id for each in changes.those_meant(spec, asked.persona_id)]
    command = _command(spec, do="forget", persona_id=asked.persona_id or "")
    await service.commands.send(spec, command)
    return await _record(service, caller, spec, "forget", meant)


@router.post("/mute", status_code=202)
async def mute(
    session_id: str, asked: MuteRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Mute or unmute one persona, or all."""
    spec = await service.sessions.change(
        session_id, caller, lambda spec: changes.muted(spec, asked.persona_id, asked.muted)
    )
    meant = [each.id for each in changes.those_meant(spec, asked.persona_id)]
    return await _record(service, caller, spec, "muted" if asked.muted else "unmuted", meant)


def _command(spec: RoomSpec, **fields: Any) -> Command:
    return Command(id=fresh_id(), room=spec.room, generation=spec.generation, **fields)


async def _record(
    service: Service, caller: Caller, spec: RoomSpec, change: PersonaChange, persona_ids: list[str]
) -> list[PersonaView]:
    """Add a change of personas to audit log and events; return the personas as they are now."""
    for each in persona_ids:
        service.audit.write(f"persona_{change}", caller, session=spec.session, persona_id=each)
    for each in persona_ids:
        await service.sessions.tell_change(spec, change, each)
    view = await service.sessions.view(spec)
    return [each for each in view.personas if each.id in persona_ids]
