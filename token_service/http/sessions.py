"""Sessions over HTTP: open, list, look, end."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from protocol.room_spec import RoomSpec
from token_service import metrics
from token_service.auth.authenticator import Manager, Observer, Talker
from token_service.auth.grants import Person
from token_service.errors import Problem, Refused
from token_service.http.session_request import SessionRequest
from token_service.rooms.admission import AdmissionRequest
from token_service.rooms.forgotten import LiveKitForgot
from token_service.rooms.session_view import (
    PersonaView,
    SessionState,
    SessionSummary,
    SessionView,
    Why,
)
from token_service.server.route import CountedRoute
from token_service.service import OpenService, Service

log = structlog.stdlib.get_logger(__name__)
router = APIRouter(prefix="/sessions", tags=["sessions"], route_class=CountedRoute)

PROBLEM: dict[str, Any] = {"model": Problem}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: PROBLEM | {"description": "A field cannot be used; `detail` names it."},
    401: PROBLEM | {"description": "Nobody in particular calls, or with a key that is not good."},
    403: PROBLEM | {"description": "The caller may not."},
    404: PROBLEM | {"description": "The caller has no such session, or it has no such persona."},
    409: PROBLEM | {"description": "The session is not in a state for this."},
    413: PROBLEM | {"description": "The body is too long."},
    422: PROBLEM | {"description": "The idempotency key belongs to another request."},
    429: PROBLEM | {"description": "Too many requests; come back after `Retry-After` seconds."},
    503: PROBLEM | {"description": "Not now; come back after `Retry-After` seconds."},
}

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]


class OpenedSession(BaseModel):
    """A session, and how the person joins it."""

    id: str
    room: str
    identity: str
    server_url: str
    participant_token: str
    token_id: str
    state: SessionState
    waiting: Why | None
    personas: list[PersonaView]


@router.post("", status_code=201, responses=REFUSALS)
async def open_session(
    service: OpenService,
    caller: Talker,
    response: Response,
    asked: SessionRequest | None = None,
    key: IdempotencyKey = None,
) -> OpenedSession:
    """Open a session and mint its first person's token.

    The same room and identity, or the same `Idempotency-Key`, give the same session, with a fresh
    token. Slots are held for a while; with `wait`, a full house is a place in the line.
    """
    response.headers["Cache-Control"] = "no-store"
    if caller.guest is not None:
        raise Refused(HTTPStatus.FORBIDDEN, "guests_open_nothing", "A guest's link opens nothing.")
    asked = asked or SessionRequest()
    personas = asked.chosen(service.catalogue, service.settings.default_persona)
    wish = AdmissionRequest(asked.room, personas, caller, asked.identity, asked.wait)
    spec = await service.sessions.open(wish, key, _fingerprint(asked))
    metrics.SESSIONS.labels("opened").inc()
    log.info("session_opened", session=spec.session, personas=len(spec.personas))
    person = Person(spec.room, spec.opener, asked.name)
    token, token_id = await service.passes.mint(person, spec)
    service.audit.write(
        "session_opened",
        caller,
        session=spec.session,
        room=spec.room,
        identity=person.identity,
        token_id=token_id,
    )
    return await _opened(service, spec, token, token_id)


async def _opened(service: Service, spec: RoomSpec, token: str, token_id: str) -> OpenedSession:
    view = await service.sessions.view(spec)
    return OpenedSession(
        id=spec.session,
        room=spec.room,
        identity=spec.opener,
        server_url=service.settings.livekit_public_url,
        participant_token=token,
        token_id=token_id,
        state=view.state,
        waiting=view.waiting,
        personas=view.personas,
    )


def _fingerprint(asked: SessionRequest) -> str:
    """What was asked for, without the defaults that are made up anew each time."""
    return hashlib.sha256(asked.model_dump_json(exclude_unset=True).encode()).hexdigest()


@router.get("", responses=REFUSALS)
async def list_sessions(
    service: OpenService, caller: Observer, room: str | None = None
) -> list[SessionSummary]:
    """List the caller's sessions, the latest first, or a room's; ended ones are among them."""
    return await service.sessions.list(caller, room)


@router.get("/{session_id}", responses=REFUSALS)
async def get_session(session_id: str, service: OpenService, caller: Observer) -> SessionView:
    """Tell the state of a session, of each persona, who is there, and how quickly it answers."""
    return await service.sessions.view(await service.sessions.find(session_id, caller))


@router.delete("/{session_id}", status_code=204, responses=REFUSALS)
async def end_session(session_id: str, service: OpenService, caller: Manager) -> Response:
    """End a session: everybody leaves, and its tokens are good for nothing."""
    spec = await service.sessions.end(session_id, caller, "ended by its owner")
    metrics.SESSIONS.labels("ended").inc()
    log.info("session_ended", session=spec.session)
    service.audit.write("session_ended", caller, session=session_id, room=spec.room)
    return Response(status_code=204)


@router.delete("/{session_id}/tokens/{token_id}", status_code=204, responses=REFUSALS)
async def revoke_token(
    session_id: str, token_id: str, service: OpenService, caller: Manager
) -> Response:
    """Revoke one token by its `jti`: who came with it is removed."""
    spec = await service.sessions.find(session_id, caller)
    removed = await service.passes.revoke(spec.room, [token_id])
    service.audit.write("token_revoked", caller, session=session_id, token_id=token_id)
    return await gone(service, spec, removed)


@router.delete("/{session_id}/people/{identity:path}", status_code=204, responses=REFUSALS)
async def remove_person(
    session_id: str, identity: str, service: OpenService, caller: Manager
) -> Response:
    """Revoke all tokens of a person, who is removed."""
    spec = await service.sessions.find(session_id, caller)
    removed = await service.passes.remove_person(spec.room, identity)
    service.audit.write("person_removed", caller, session=session_id, identity=identity)
    return await gone(service, spec, removed)


async def gone(service: Service, spec: RoomSpec, removed: int) -> Response:
    """Answer that nobody is there who was to be removed.

    Raises `LiveKitForgot` where a person may be there whom LiveKit does not list.
    """
    if not removed and await service.forgotten.has(spec.room):
        raise LiveKitForgot
    return Response(status_code=204)
