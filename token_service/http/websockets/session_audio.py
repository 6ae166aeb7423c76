"""`/sessions/{id}/audio`: plain sound for programs without WebRTC, with words and events as JSON.

A worker joins the session's room for the client (`worker/websocket/room_client.py`) and mixes what
is heard there. The events are those of `/sessions/{id}/events`, from now on.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError

from protocol import wire
from protocol.errors import InvalidInput, explain
from protocol.events import EndedEvent
from protocol.room_spec import RoomSpec
from protocol.websocket_ticket import RoomTicket, SoundFormat
from token_service import metrics
from token_service.auth.bearers import bearer_of
from token_service.auth.callers import Caller, Scope
from token_service.auth.grants import Participant
from token_service.http.session_request import Identity
from token_service.http.token_request import Named, fresh_name
from token_service.http.websockets.relay import Closing, admit, close, relay
from token_service.rooms.events import StoredEvent
from token_service.service import Service

router = APIRouter()

AWAY_S = 1.0  # until redis is asked again for events
DONE = 1000
ERRORS = {
    1001: "idle",
    1007: "bad_sound",
    1008: "disconnected",
    1009: "too_long",
    1012: "worker_gone",
}


class AudioQuery(BaseModel):
    """The query of a handshake: the participant's format, identity, name, and consent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: SoundFormat = "pcm"
    identity: Identity = Field(default_factory=lambda: fresh_name("person"))
    name: Named = "Guest"
    record_consent: bool = False

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """Read a query. Raises `InvalidInput`."""
        try:
            return cls.model_validate(dict(query))
        except ValidationError as error:
            raise InvalidInput(explain(error)) from error


@router.websocket("/sessions/{session_id}/audio")
async def session_audio(client: WebSocket, session_id: str) -> None:
    """Let a client take part in a session, or refuse the handshake."""

    async def talk(service: Service) -> None:
        await _talk(client, session_id, service)

    await admit(client, metrics.ROOM_CLIENTS, talk)


async def _talk(client: WebSocket, session_id: str, service: Service) -> None:
    caller = await service.authenticator.caller(client)
    caller.require(Scope.TALK)
    service.audit.require()
    asked = AudioQuery.read(client.query_params)
    spec = await service.sessions.find_to_join(session_id, caller)
    with service.followed(caller), service.sockets.counted_audio(caller):
        token = await _token(client, service, caller, spec, asked)
        recording = service.consent_of(spec)
        opens = RoomTicket(token=token, format=asked.format, recording=recording)
        worker = await service.sockets.open_audio(opens, spec, await service.workers.fleet())
        try:
            service.audit.write("audio_opened", caller, session=spec.session, room=spec.room)
            metrics.ROOM_CLIENTS.labels("opened").inc()
            events = SessionEvents(client, service, spec)
            await events.begin()
            await client.accept()
            await events.end(await relay(client, worker, events.tell()))
        finally:
            await worker.close()


async def _token(
    client: WebSocket, service: Service, caller: Caller, spec: RoomSpec, asked: AudioQuery
) -> str:
    """Return the token to join with: the participant's that the client has, or a new one."""
    if caller.guest is not None and caller.guest.is_participants:
        return bearer_of(client)
    await service.admission.check_people(spec, asked.identity)
    attributes = {wire.ATTR_WEBSOCKET: wire.STAYS}
    if asked.record_consent:
        attributes[wire.ATTR_RECORD_CONSENT] = "true"
    participant = Participant(spec.room, asked.identity, asked.name, attributes=attributes)
    token, _ = await service.tokens.mint(participant, spec, caller.guest)
    return token


class SessionEvents:
    """Tells a client the events of its session."""

    def __init__(self, client: WebSocket, service: Service, spec: RoomSpec) -> None:
        self._client = client
        self._sessions, self._store = service.sessions, service.events
        self._spec = spec
        self._last = "0"
        self._ended: EndedEvent | None = None

    async def begin(self) -> None:
        """Tell the events that come from now on."""
        self._last = await self._store.last_id(self._spec.room)

    async def tell(self) -> None:
        """Tell events until the session ends. Without redis none come, and the call goes on."""
        while True:
            try:
                return await self._follow()
            except RedisError:
                await asyncio.sleep(AWAY_S)

    async def end(self, closing: Closing | None) -> None:
        """Tell the rest and why it is over, then close. `closing`: the worker's, if it ended."""
        try:
            if closing is not None and self._ended is None:
                await self._send_rest(closing)
        except WebSocketDisconnect:
            return
        if self._ended is not None:
            await close(self._client, Closing(DONE, self._ended.reason))
        elif closing is not None:
            await close(self._client, closing)

    async def _send_rest(self, closing: Closing) -> None:
        """Send the last events; and at the end `ended` or an error, whichever side ended."""
        with suppress(RedisError):
            rest = await self._store.stored(self._spec.room, self._last)
            if any(isinstance(stored.event, EndedEvent) for stored in rest):
                return await self._follow()
            for stored in rest:
                await self._send(stored)
        if closing.code == DONE:
            last = EndedEvent(at_s=time.time(), reason=closing.reason)
        else:
            code = ERRORS.get(closing.code, "failed")
            last = wire.ErrorMessage(code=code, detail=closing.reason)
        await self._client.send_text(last.model_dump_json())

    async def _follow(self) -> None:
        """Send events until the session has ended. Raises `RedisError`."""
        async for stored in self._sessions.follow(self._spec, self._last):
            if stored is not None:
                await self._send(stored)

    async def _send(self, stored: StoredEvent) -> None:
        self._last = stored.id
        await self._client.send_text(stored.event.model_dump_json())
        if isinstance(stored.event, EndedEvent):
            self._ended = stored.event
