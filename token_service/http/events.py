"""A session's events over HTTP, as they come: server-sent events.

The stream's ids are redis's own, so that `Last-Event-ID` goes on where a connection broke, on any
replica. A comment keeps the connection alive each 15 s (FastAPI). It ends with the session.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from redis.exceptions import RedisError

from protocol.events import EndedEvent
from protocol.patterns import Matching
from protocol.room_spec import RoomSpec
from token_service.auth.authenticator import Observer
from token_service.errors import Unavailable
from token_service.http.sessions import REFUSALS
from token_service.server.route import CountedRoute
from token_service.service import STREAMS, OpenService, Service

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"], route_class=CountedRoute)
EVENT_ID = Matching(r"\d{1,20}(-\d{1,20})?", "the id of an event, as 1732804800000-0")

RETRY_MS = 1000


async def _followed(
    session_id: str, service: OpenService, caller: Observer
) -> AsyncGenerator[RoomSpec]:
    """Found and counted before the answer begins, so that a refusal is one."""
    spec = await service.sessions.find(session_id, caller)
    streams, who = service.streams, caller.counted_as
    if streams.total() >= STREAMS or streams[who] >= service.settings.streams_per_caller:
        raise Unavailable("busy", "Too many follow sessions here. Try again soon.", 10)
    streams[who] += 1
    try:
        yield spec
    finally:
        streams[who] -= 1
        if not streams[who]:
            del streams[who]


@router.get("/events", response_class=EventSourceResponse, responses=REFUSALS)
async def follow_events(
    spec: Annotated[RoomSpec, Depends(_followed)],
    service: OpenService,
    last_event_id: Annotated[str, Header(), EVENT_ID] = "0",
) -> AsyncGenerator[ServerSentEvent]:
    """Follow a session: states, transcripts, turns, the floor, people, warnings, and its end.

    Begins with what is remembered, or after `Last-Event-ID`.
    """
    yield ServerSentEvent(comment=f"session {spec.session}", retry=RETRY_MS)
    with suppress(RedisError):  # the client comes back, to another replica or later
        async for told in service.events.follow(spec.room, last_event_id):
            if told is not None:
                yield ServerSentEvent(data=told.event, event=told.event.type, id=told.id)
                if isinstance(told.event, EndedEvent):
                    return
            elif await _is_over(service, spec):
                return
            if service.leaving:
                return


async def _is_over(service: Service, spec: RoomSpec) -> bool:
    """Ended, and its end is no longer in the stream, or another session has the room."""
    now = await service.specs.of_session(spec.session)
    return now is None or now.ended
