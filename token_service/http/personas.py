"""A session's personas over HTTP: add, remove, have them say, forget and be muted.

`say` and `forget` are commands, which the host takes or refuses at once. The others are changes of
the promise; the host makes the room equal to it within a second.
"""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from protocol.commands import Command
from protocol.room_spec import RoomSpec, fresh_id, persona_specs
from token_service.auth.authenticator import Manager
from token_service.auth.callers import Caller
from token_service.http.session_request import (
    MuteRequest,
    PersonaRequest,
    PersonasRequest,
    SayRequest,
)
from token_service.http.sessions import REFUSALS
from token_service.rooms import changes
from token_service.rooms.session_view import PersonaView
from token_service.server.route import CountedRoute
from token_service.service import OpenService, Service

router = APIRouter(
    prefix="/sessions/{session_id}", tags=["sessions"], responses=REFUSALS, route_class=CountedRoute
)


class SayAnswer(BaseModel):
    """A line that the persona is about to say. Its end is the event `said` with this `id`."""

    id: str
    persona_id: str


@router.post("/personas", status_code=201)
async def add_personas(
    session_id: str, asked: PersonasRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Add personas; they come while the conversation goes on."""
    personas = asked.chosen(service.catalogue)
    fleet = await service.workers.fleet()
    fleet.check_voices(personas, service.catalogue)
    await service.admission.prompts.check(personas, fleet)
    newcomers = persona_specs(personas)
    spec = await service.sessions.change(
        session_id, caller, lambda p: changes.with_more(p, newcomers)
    )
    for each in newcomers:
        await _tell(service, caller, spec, "added", each.id)
    return await _views(service, spec, {each.id for each in newcomers})


@router.delete("/personas/{persona_id}", status_code=204)
async def remove_persona(
    session_id: str, persona_id: str, service: OpenService, caller: Manager
) -> Response:
    """Remove a persona, which leaves the room. The last one stays: end the session instead."""
    spec = await service.sessions.change(
        session_id, caller, lambda p: changes.without(p, persona_id)
    )
    await _tell(service, caller, spec, "removed", persona_id)
    return Response(status_code=204)


@router.post("/say", status_code=202)
async def say(
    session_id: str, asked: SayRequest, service: OpenService, caller: Manager
) -> SayAnswer:
    """Have a persona say a line, once, at its next pause. 202: its host took the line.

    409 where it cannot be said (`not_live`, `persona_muted`, `cannot_say` with what can be), 503
    where it may be tried again. A person who speaks over the line, or a mute, cuts it off for good.
    """
    spec = await service.sessions.find_running(session_id, caller)
    speaker = changes.persona_of(spec, asked.persona_id)
    command = _command(spec, do="say", persona_id=speaker.id, text=asked.text)
    await service.commands.send(spec, command)
    await _tell(service, caller, spec, "say", speaker.id)
    return SayAnswer(id=command.id, persona_id=speaker.id)


@router.post("/forget", status_code=202)
async def forget(
    session_id: str, asked: PersonaRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Give one persona, or all, a fresh memory, after the lines that it is saying. No one leaves.

    202: its host took the command. 409 and 503 as for a line.
    """
    spec = await service.sessions.find_running(session_id, caller)
    changes.those_meant(spec, asked.persona_id)
    command = _command(spec, do="forget", persona_id=asked.persona_id or "")
    await service.commands.send(spec, command)
    return await _told(service, caller, spec, asked.persona_id, "forget")


@router.post("/mute", status_code=202)
async def mute(
    session_id: str, asked: MuteRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Let one persona, or all, be heard no more, or again."""
    spec = await service.sessions.change(
        session_id, caller, lambda p: changes.muted(p, asked.persona_id, asked.muted)
    )
    change = "muted" if asked.muted else "unmuted"
    return await _told(service, caller, spec, asked.persona_id, change)


def _command(spec: RoomSpec, **what: Any) -> Command:
    return Command(id=fresh_id(), room=spec.room, generation=spec.generation, **what)


async def _told(
    service: Service, caller: Caller, spec: RoomSpec, persona_id: str | None, change: str
) -> list[PersonaView]:
    meant = [each.id for each in changes.those_meant(spec, persona_id)]
    for each in meant:
        await _tell(service, caller, spec, change, each)
    return await _views(service, spec, set(meant))


async def _tell(
    service: Service, caller: Caller, spec: RoomSpec, change: str, persona_id: str
) -> None:
    await service.sessions.tell_change(spec, change, persona_id)
    service.audit.write(f"persona_{change}", caller, session=spec.session, persona_id=persona_id)


async def _views(service: Service, spec: RoomSpec, meant: set[str]) -> list[PersonaView]:
    view = await service.sessions.view(spec)
    return [each for each in view.personas if each.id in meant]
