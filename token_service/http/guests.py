"""Guest links of a session over HTTP: invite so many people for so long, and take it back."""

import time

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from token_service.auth.authenticator import Manager
from token_service.http.sessions import REFUSALS, gone
from token_service.server.route import CountedRoute
from token_service.service import OpenService

router = APIRouter(
    prefix="/sessions/{session_id}/guests",
    tags=["sessions"],
    responses=REFUSALS,
    route_class=CountedRoute,
)


class Invitation(BaseModel):
    """For how many people a link is, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int = Field(default=1, ge=1, le=100)
    lives_s: int = Field(default=3600, ge=30, le=604_800)


class GuestLink(BaseModel):
    """A link's id, and the bearer that leads its guests through `POST /token`."""

    id: str
    room: str
    bearer: str
    people: int
    ends_at_s: float


@router.post("", status_code=201)
async def invite(
    session_id: str,
    service: OpenService,
    caller: Manager,
    response: Response,
    asked: Invitation | None = None,
) -> GuestLink:
    """Make a bearer with which guests get tokens for this session's room, and nothing else."""
    response.headers["Cache-Control"] = "no-store"
    asked = asked or Invitation()
    spec = await service.sessions.find_running(session_id, caller)
    await service.space.check()
    bearer, guest = await service.guests.invite(spec, asked.people, asked.lives_s)
    service.audit.write("guest_invited", caller, session=session_id, guest_link=guest.id)
    return GuestLink(
        id=guest.id,
        room=guest.room,
        bearer=bearer,
        people=guest.people,
        ends_at_s=time.time() + asked.lives_s,
    )


@router.delete("/{guest_id}", status_code=204)
async def uninvite(
    session_id: str, guest_id: str, service: OpenService, caller: Manager
) -> Response:
    """End a link; who came by it is removed."""
    spec = await service.sessions.find(session_id, caller)
    await service.guests.uninvite(session_id, guest_id)
    removed, came = 0, await service.guests.joined_by(guest_id)
    for identity in came:
        removed += await service.passes.remove_person(spec.room, identity)
    service.audit.write("guest_uninvited", caller, session=session_id, guest_link=guest_id)
    return await gone(service, spec, removed) if came else Response(status_code=204)
