"""A session's personas over HTTP: add, remove, have them say, forget and be muted.

Each is a change of the promise; the host makes the room equal to it within a second.
"""

import time

from fastapi import APIRouter, Response
from pydantic import BaseModel

from protocol.promise import Promise, Saying, fresh_id, promised
from token_service import changes
from token_service.callers import Caller
from token_service.gate import Manager
from token_service.route import CountedRoute
from token_service.service import OpenService, Service
from token_service.session_request import MuteRequest, PersonaRequest, PersonasRequest, SayRequest
from token_service.session_routes import REFUSALS
from token_service.session_view import PersonaView

router = APIRouter(
    prefix="/sessions/{session_id}", tags=["sessions"], responses=REFUSALS, route_class=CountedRoute
)


class Said(BaseModel):
    """A line that was passed on. `id`: the line's own."""

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
    newcomers = promised(personas)
    promise = await service.sessions.change(
        session_id, caller, lambda p: changes.with_more(p, newcomers)
    )
    for each in newcomers:
        await _tell(service, caller, promise, "added", each.id)
    return await _views(service, promise, {each.id for each in newcomers})


@router.delete("/personas/{persona_id}", status_code=204)
async def remove_persona(
    session_id: str, persona_id: str, service: OpenService, caller: Manager
) -> Response:
    """Remove a persona, which leaves the room. The last one stays: end the session instead."""
    promise = await service.sessions.change(
        session_id, caller, lambda p: changes.without(p, persona_id)
    )
    await _tell(service, caller, promise, "removed", persona_id)
    return Response(status_code=204)


@router.post("/say", status_code=202)
async def say(session_id: str, asked: SayRequest, service: OpenService, caller: Manager) -> Said:
    """Have a persona say a line, soon and once, in its own voice."""
    line = Saying(id=fresh_id(), text=asked.text, at_s=time.time())
    promise = await service.sessions.change(
        session_id, caller, lambda p: changes.saying(p, asked.persona_id, line)
    )
    speaker = changes.persona_of(promise, asked.persona_id)
    await _tell(service, caller, promise, "say", speaker.id)
    return Said(id=line.id, persona_id=speaker.id)


@router.post("/forget", status_code=202)
async def forget(
    session_id: str, asked: PersonaRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Give one persona, or all, a fresh memory; nobody leaves."""
    promise = await service.sessions.change(
        session_id, caller, lambda p: changes.forgetting(p, asked.persona_id)
    )
    return await _told(service, caller, promise, asked.persona_id, "forget")


@router.post("/mute", status_code=202)
async def mute(
    session_id: str, asked: MuteRequest, service: OpenService, caller: Manager
) -> list[PersonaView]:
    """Let one persona, or all, be heard no more, or again."""
    promise = await service.sessions.change(
        session_id, caller, lambda p: changes.muted(p, asked.persona_id, asked.muted)
    )
    change = "muted" if asked.muted else "unmuted"
    return await _told(service, caller, promise, asked.persona_id, change)


async def _told(
    service: Service, caller: Caller, promise: Promise, persona_id: str | None, change: str
) -> list[PersonaView]:
    meant = [each.id for each in changes.those_meant(promise, persona_id)]
    for each in meant:
        await _tell(service, caller, promise, change, each)
    return await _views(service, promise, set(meant))


async def _tell(
    service: Service, caller: Caller, promise: Promise, change: str, persona_id: str
) -> None:
    await service.sessions.tell_change(promise, change, persona_id)
    service.audit.write(f"persona_{change}", caller, session=promise.session, persona_id=persona_id)


async def _views(service: Service, promise: Promise, meant: set[str]) -> list[PersonaView]:
    view = await service.sessions.view(promise)
    return [each for each in view.personas if each.id in meant]
