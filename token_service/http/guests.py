"""A session's guest links over HTTP: sign one, revoke one."""

import time
from http import HTTPStatus

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from token_service.auth.guest_links import LONGEST_S, SHORTEST_S
from token_service.errors import REFUSALS
from token_service.http.access import CountedRoute, Manager
from token_service.http.session_request import Body, examples
from token_service.http.sessions import removed_answer
from token_service.refusals import Refused
from token_service.rooms.issued_tokens import LINK_ID
from token_service.service import OpenService

router = APIRouter(
    prefix="/sessions/{session_id}/guests",
    tags=["sessions"],
    responses=REFUSALS,
    route_class=CountedRoute,
)


class GuestLinkRequest(Body):
    """The lifetime of a new guest link."""

    model_config = examples({"lives_s": 7200})

    lives_s: int = Field(default=3600, ge=SHORTEST_S, le=LONGEST_S, strict=True)


class GuestLink(BaseModel):
    """A guest link: its id, its session's room, and the bearer for `POST /token`."""

    id: str
    room: str
    bearer: str
    ends_at_s: float


@router.post("", status_code=201)
async def sign_guest_link(
    session_id: str,
    service: OpenService,
    caller: Manager,
    asked: GuestLinkRequest | None = None,
) -> GuestLink:
    """Sign a guest link: a bearer for tokens of this session's room, and for nothing else.

    It is valid until it expires, is revoked, or the session ends. How many people may be in the
    room at once is the session's `max_people`.
    """
    ends_at_s = int(time.time()) + (asked or GuestLinkRequest()).lives_s
    spec = await service.sessions.keep_for_guests(session_id, caller, ends_at_s)
    bearer, guest = service.links.sign(spec, ends_at_s)
    service.audit.write("guest_invited", caller, session=session_id, guest_link=guest.id)
    return GuestLink(id=guest.id, room=guest.room, bearer=bearer, ends_at_s=ends_at_s)


@router.delete("/{guest_id}", status_code=204)
async def revoke_guest_link(
    session_id: str, guest_id: str, service: OpenService, caller: Manager
) -> Response:
    """Revoke a guest link and all tokens that it gave out; their participants are removed.

    204 also for a link that was never signed: the service stores none. 404 for what can be none.
    """
    spec = await service.sessions.find(session_id, caller)
    if not LINK_ID.fullmatch(guest_id):
        raise Refused(HTTPStatus.NOT_FOUND, "guest_unknown", "This session has no such guest.")
    service.audit.write("guest_uninvited", caller, session=session_id, guest_link=guest_id)
    tokens, removed = await service.tokens.revoke_link(spec.room, guest_id)
    return await removed_answer(service, spec, removed) if tokens else Response(status_code=204)
