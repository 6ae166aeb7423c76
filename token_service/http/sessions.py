"""Sessions over HTTP: open, list, view, end; revoke a token, remove a person."""

from http import HTTPStatus

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from protocol import wire
from protocol.room_spec import RoomSpec
from protocol.wire import Consent
from token_service import metrics
from token_service.auth.grants import Participant
from token_service.errors import REFUSALS
from token_service.http.access import CountedRoute, Manager, Observer, Talker
from token_service.http.session_request import RatingRequest, SessionRequest
from token_service.http.token_request import RECORDING
from token_service.refusals import Refused
from token_service.rooms.admission import AdmissionRequest
from token_service.rooms.forgotten import LiveKitForgot
from token_service.rooms.issued_tokens import TOKEN_ID
from token_service.service import OpenService, Service
from token_service.sessions.session_view import (
    PersonaView,
    SessionState,
    SessionSummary,
    SessionView,
    Why,
)

log = structlog.stdlib.get_logger(__name__)
router = APIRouter(
    prefix="/sessions", tags=["sessions"], route_class=CountedRoute, responses=REFUSALS
)


class OpenedSession(BaseModel):
    """A session, and LiveKit's address and token for its first participant."""

    id: str
    room: str
    identity: str
    server_url: str
    participant_token: str
    token_id: str
    state: SessionState
    waiting: Why | None
    recording: Consent | None = Field(description=RECORDING)
    personas: list[PersonaView]


@router.post("", status_code=201)
async def open_session(
    service: OpenService, caller: Talker, asked: SessionRequest | None = None
) -> OpenedSession:
    """Open a session and mint its first participant's token.

    A repeated request with the same room and identity returns the same session with a new token.
    Slots are reserved for a while; with `wait`, the session waits in line if none are free.

    People join with the token. Programs without WebRTC open the WebSocket
    `/sessions/{id}/audio?format=pcm` (or `opus`; `identity` and `name` are optional): binary
    messages are sound, both ways, and JSON messages are the session's events, `ready` once the
    program is in the room, and at last `ended` or `error`.
    """
    if caller.guest is not None:
        sentence = "A guest link opens no session."
        raise Refused(HTTPStatus.FORBIDDEN, "guests_open_nothing", sentence)
    asked = asked or SessionRequest()
    personas = asked.chosen(service.catalogue, service.settings.default_persona)
    request = AdmissionRequest(
        asked.room,
        personas,
        caller,
        asked.identity,
        asked.wait,
        asked.max_people or 0,
        asked.transcribe,
        asked.record,
    )
    spec = await service.admission.admit(request)
    metrics.SESSIONS.labels("opened").inc()
    log.info("session_opened", session=spec.session, personas=len(spec.personas))
    agreed = {wire.ATTR_RECORD_CONSENT: "true"} if asked.record_consent else {}
    person = Participant(spec.room, spec.opener, asked.name, attributes=agreed)
    token, token_id = await service.tokens.mint(person, spec)
    service.audit.write(
        "session_opened",
        caller,
        session=spec.session,
        room=spec.room,
        identity=spec.opener,
        token_id=token_id,
    )
    if asked.record and spec.record:
        service.audit.write("recording_asked", caller, session=spec.session, room=spec.room)
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
        recording=service.consent_of(spec),
        personas=view.personas,
    )


@router.get("")
async def list_sessions(
    service: OpenService, caller: Observer, room: str | None = None
) -> list[SessionSummary]:
    """List the caller's sessions, the latest first, or those of a room; includes ended ones."""
    return await service.sessions.list(caller, room)


@router.get("/{session_id}")
async def get_session(session_id: str, service: OpenService, caller: Observer) -> SessionView:
    """Return a session: its state, personas, people, and response times."""
    return await service.sessions.view(await service.sessions.find(session_id, caller))


@router.post("/{session_id}/rating", status_code=204)
async def rate_session(
    session_id: str, asked: RatingRequest, service: OpenService, caller: Talker
) -> Response:
    """Rate a session, also one that has ended. 403 `ratings_off`: the operator does not ask."""
    if not service.settings.ratings:
        raise Refused(HTTPStatus.FORBIDDEN, "ratings_off", "RATINGS is not set: none are taken.")
    spec = await service.sessions.rate(session_id, caller, asked.rating)
    metrics.RATINGS.labels(str(asked.rating)).inc()
    log.info("session_rated", session=spec.session, rating=asked.rating)
    service.audit.write("session_rated", caller, session=session_id)
    return Response(status_code=204)


@router.post("/{session_id}/move", status_code=202)
async def move_session(session_id: str, service: OpenService, caller: Manager) -> SessionView:
    """Move a session to another worker, without a break: it goes on there at the next pause.

    202: the other worker prepares. The session's `generation` changes once it has taken over;
    where it cannot, the session stays where it is. 409: `not_live`, `moving`; 503:
    `no_other_worker` has free slots and the same model.
    """
    spec = await service.sessions.find_running(session_id, caller)
    spec = await service.moves.begin(spec.room)
    service.audit.write("session_moved", caller, session=session_id, worker=spec.standby)
    return await service.sessions.view(spec)


@router.delete("/{session_id}", status_code=204)
async def end_session(session_id: str, service: OpenService, caller: Manager) -> Response:
    """End a session: remove its participants and revoke its tokens."""
    spec = await service.sessions.find(session_id, caller)
    service.audit.write("session_ended", caller, session=session_id, room=spec.room)
    await service.sessions.end(session_id, caller, "ended by its owner")
    metrics.SESSIONS.labels("ended").inc()
    log.info("session_ended", session=spec.session)
    return Response(status_code=204)


@router.delete("/{session_id}/tokens/{token_id}", status_code=204)
async def revoke_token(
    session_id: str, token_id: str, service: OpenService, caller: Manager
) -> Response:
    """Revoke a token by its `jti`; a participant who joined with it is removed.

    204 also for a token that is not known (any more); 404 for what can be none.
    """
    spec = await service.sessions.find(session_id, caller)
    if not TOKEN_ID.fullmatch(token_id):
        raise Refused(HTTPStatus.NOT_FOUND, "token_unknown", "This session has no such token.")
    service.audit.write("token_revoked", caller, session=session_id, token_id=token_id)
    removed = await service.tokens.revoke(spec.room, [token_id])
    return await removed_answer(service, spec, removed)


@router.delete("/{session_id}/people/{identity:path}", status_code=204)
async def remove_person(
    session_id: str, identity: str, service: OpenService, caller: Manager
) -> Response:
    """Remove a person and revoke all tokens of that identity.

    404: no participant of that identity is there, and none has a token.
    """
    spec = await service.sessions.find(session_id, caller)
    service.audit.write("person_removed", caller, session=session_id, identity=identity)
    removed = await service.tokens.remove_person(spec.room, identity)
    answer = await removed_answer(service, spec, removed)
    if not removed and not await service.tokens.of(spec.room, identity):
        raise Refused(HTTPStatus.NOT_FOUND, "person_unknown", "This session has no such person.")
    return answer


async def removed_answer(service: Service, spec: RoomSpec, removed: int) -> Response:
    """Answer that the participants are gone.

    Raises `LiveKitForgot` if none was removed and LiveKit may not list all who are there.
    """
    if not removed and await service.forgotten.has(spec.room):
        raise LiveKitForgot
    return Response(status_code=204)
