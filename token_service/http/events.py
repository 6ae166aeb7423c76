"""A session's events over HTTP, as server-sent events.

Their ids are redis's own, so `Last-Event-ID` continues a broken stream on any replica. FastAPI
sends a comment every 15 s to keep the connection open. The stream ends with the session.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, HTTPException, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from redis.exceptions import RedisError

from protocol.room_spec import RoomSpec
from protocol.text import Matching
from token_service.errors import REFUSALS
from token_service.http.access import CountedRoute, Observer
from token_service.rooms.events import StoredEvent
from token_service.service import OpenService

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"], route_class=CountedRoute)
EVENT_ID = Matching(r"\d{1,19}(-\d{1,19})?", "the id of an event, as 1732804800000-0")

RETRY_MS = 1000
FOLLOW = "`false`: the stream ends after the stored events."


LastEventId = Annotated[str, Header(), EVENT_ID]
ALL_SENT = "The session has ended, and every event of it was sent: do not come back."


class Followed(NamedTuple):
    """A session whose events are followed, from one of them on."""

    spec: RoomSpec
    last_event_id: str


async def _followed(
    session_id: str, service: OpenService, caller: Observer, last_event_id: LastEventId = "0"
) -> AsyncGenerator[Followed]:
    """Find the session and count the stream before the answer begins, so that it can be refused.

    Whoever has all events of an ended session gets 204, as a browser's EventSource connects again
    each second until then.
    """
    spec = await service.sessions.find(session_id, caller)
    if spec.ended and await service.events.all_sent(spec.room, last_event_id):
        raise HTTPException(HTTPStatus.NO_CONTENT)
    with service.followed(caller):
        yield Followed(spec, last_event_id)


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=REFUSALS | {204: {"description": ALL_SENT}},
)
async def follow_events(
    followed: Annotated[Followed, Depends(_followed)],
    service: OpenService,
    follow: Annotated[bool, Query(description=FOLLOW)] = True,
) -> AsyncGenerator[ServerSentEvent]:
    """Follow a session: states, transcripts, turns, the floor, people, warnings, and its end.

    Begins with the stored events, or after `Last-Event-ID`.
    """
    spec, last_event_id = followed
    yield ServerSentEvent(comment=f"session {spec.session}", retry=RETRY_MS)
    if not follow:
        for stored in await service.events.stored(spec.room, last_event_id):
            yield _sent(stored)
        return
    with suppress(RedisError):  # the client reconnects, to another replica or later
        async for stored in service.sessions.follow(spec, last_event_id):
            if stored is not None:
                yield _sent(stored)
            else:  # has the session ended, and its last event left the stream?
                current = await service.specs.of_session(spec.session)
                if current is None or current.ended:
                    return
            if service.leaving:
                return


def _sent(stored: StoredEvent) -> ServerSentEvent:
    return ServerSentEvent(data=stored.event, event=stored.event.type, id=stored.id)
