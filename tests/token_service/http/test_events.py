"""A session's events over HTTP: in order, resumed after a break, until the session's end."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from protocol.events import EVENTS_KEPT, StateEvent, TranscriptEvent, WarningEvent, events_key
from tests.token_service.players import beat, eventually, served
from token_service.app import create_app
from token_service.rooms.events import EventStore
from token_service.service import STREAMS, Service


@pytest.fixture
async def server(settings: Settings, redis: Redis) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve the app with a real uvicorn, which streams; yield a client."""
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with (
            served(create_app(settings), listening),
            httpx.AsyncClient(base_url=url) as client,
        ):
            yield client


@pytest.fixture
async def session(server: httpx.AsyncClient) -> dict[str, Any]:
    """Open a session; return the answer."""
    return (await server.post("/sessions")).json()


def warning(code: str) -> WarningEvent:
    """Return a warning, as a host adds one."""
    return WarningEvent(at_s=time.time(), code=code, detail="Oh.")


def words(text: str) -> TranscriptEvent:
    """Return a person's words, as a host adds them."""
    return TranscriptEvent(
        at_s=time.time(),
        identity="ann",
        segment_id="SG_1",
        text=text,
        final=True,
        start_s=1.0,
        end_s=2.0,
    )


class Stream:
    """Reads server-sent events one by one."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        """Return the next event's fields; comments are skipped."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith((":", "retry")):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                return fields
        return {"event": "the stream has ended"}


async def test_an_added_event_is_streamed(
    server: httpx.AsyncClient, redis: Redis, session: dict[str, Any]
) -> None:
    """An event that a host adds is sent with redis's id, the event's type and the same JSON."""
    state = StateEvent(
        at_s=1.5, persona_id="a", persona="chef", identity="agent-chef-a-1", state="speaking"
    )
    async with server.stream("GET", f"/sessions/{session['id']}/events") as answer:
        await EventStore(redis).add(session["room"], state)
        event = await Stream(answer).next()
    entry = (await redis.xrange(events_key(session["room"])))[0][0]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (event["id"], event["event"]) == (entry, "state")
    assert json.loads(event["data"]) == state.model_dump()


async def test_last_event_id_continues_a_stream(
    server: httpx.AsyncClient, redis: Redis, session: dict[str, Any]
) -> None:
    """With `Last-Event-ID` a new stream begins after that event: none is lost or repeated."""
    path = f"/sessions/{session['id']}/events"
    for code in ("one", "two", "three"):
        await EventStore(redis).add(session["room"], warning(code))
    async with server.stream("GET", path) as answer:
        first = await Stream(answer).next()
    async with server.stream("GET", path, headers={"Last-Event-ID": first["id"]}) as answer:
        stream = Stream(answer)
        rest = [json.loads((await stream.next())["data"])["code"] for _ in range(2)]

    assert json.loads(first["data"])["code"] == "one"
    assert rest == ["two", "three"]


async def test_ended_is_the_last_event(server: httpx.AsyncClient, session: dict[str, Any]) -> None:
    """`ended` is a stream's last event, also for a client that connects after the end."""
    path = f"/sessions/{session['id']}"
    async with server.stream("GET", f"{path}/events") as answer:
        await server.delete(path)
        stream = Stream(answer)
        live = [(await stream.next())["event"] for _ in range(2)]
    async with server.stream("GET", f"{path}/events") as answer:
        stream = Stream(answer)
        later = [(await stream.next())["event"] for _ in range(2)]

    assert live == later == ["ended", "the stream has ended"]


async def test_who_has_all_events_of_an_ended_session_is_told_to_stay_away(
    server: httpx.AsyncClient, session: dict[str, Any]
) -> None:
    """After `ended` a client that returns gets 204: a browser's EventSource would come for ever."""
    path = f"/sessions/{session['id']}"
    await server.delete(path)
    async with server.stream("GET", f"{path}/events") as answer:
        last = await Stream(answer).next()
    again = await server.get(f"{path}/events", headers={"Last-Event-ID": last["id"]})

    assert last["event"] == "ended"
    assert (again.status_code, again.content) == (204, b"")


async def test_words_that_come_after_the_end_are_sent_before_it(
    server: httpx.AsyncClient, redis: Redis, session: dict[str, Any]
) -> None:
    """Words of a host that has not left yet come before `ended`, and once for whoever returns."""
    path, room = f"/sessions/{session['id']}", session["room"]
    await beat(redis, hosts={room: 0})
    async with server.stream("GET", f"{path}/events") as answer:
        await server.delete(path)
        await asyncio.sleep(0.3)
        await EventStore(redis).add(room, words("One more thing."))
        await beat(redis)
        stream = Stream(answer)
        told = [await stream.next() for _ in range(3)]
    last = {"Last-Event-ID": told[1]["id"]}
    async with server.stream("GET", f"{path}/events", headers=last) as answer:
        again = (await Stream(answer).next())["event"]

    assert [each["event"] for each in told] == ["transcript", "ended", "the stream has ended"]
    assert again == "the stream has ended"


async def test_the_end_waits_for_a_host_a_while(
    server: httpx.AsyncClient,
    redis: Redis,
    session: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that stays delays `ended` a while; then no event of the room's next session comes."""
    monkeypatch.setattr("token_service.sessions.sessions.AFTER_ENDED_S", 1.0)
    path, room = f"/sessions/{session['id']}", session["room"]
    await beat(redis, hosts={room: 0})
    async with server.stream("GET", f"{path}/events") as answer:
        await server.delete(path)
        again = await server.post("/sessions", json={"room": room})
        await EventStore(redis).add(room, words("A secret."))
        stream = Stream(answer)
        told = [(await stream.next())["event"] for _ in range(2)]

    assert again.status_code == 201
    assert told == ["ended", "the stream has ended"]


async def test_another_sessions_events_are_not_sent(
    server: httpx.AsyncClient, redis: Redis, session: dict[str, Any]
) -> None:
    """A new session in the same room begins with an empty stream."""
    await EventStore(redis).add(session["room"], warning("old"))
    await server.delete(f"/sessions/{session['id']}")
    again = (await server.post("/sessions", json={"room": session["room"]})).json()
    await EventStore(redis).add(again["room"], warning("new"))
    async with server.stream("GET", f"/sessions/{again['id']}/events") as answer:
        event = await Stream(answer).next()

    assert json.loads(event["data"])["code"] == "new"


async def test_unknown_events_are_left_out(
    server: httpx.AsyncClient, redis: Redis, session: dict[str, Any]
) -> None:
    """An event of an unknown type or shape is left out of the stream."""
    await redis.xadd(events_key(session["room"]), {"event": '{"type": "party", "at_s": 1}'})
    await redis.xadd(events_key(session["room"]), {"colour": "blue"})
    await EventStore(redis).add(session["room"], warning("known"))
    async with server.stream("GET", f"/sessions/{session['id']}/events") as answer:
        event = await Stream(answer).next()

    assert json.loads(event["data"])["code"] == "known"


@pytest.mark.parametrize("last", ["$; FLUSHALL", str(2**64), f"1-{2**64}"])
async def test_an_invalid_last_event_id_is_refused(
    server: httpx.AsyncClient, session: dict[str, Any], last: str
) -> None:
    """A `Last-Event-ID` that is no id of redis is refused with 400, once."""
    answer = await server.get(f"/sessions/{session['id']}/events", headers={"Last-Event-ID": last})

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "last-event-id: expected the id of an event, as 1732804800000-0",
    )


async def test_a_stopping_service_ends_a_busy_stream(settings: Settings, redis: Redis) -> None:
    """A service that stops ends a stream although events keep coming."""
    await beat(redis)
    app = create_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with served(app, listening), httpx.AsyncClient(base_url=url) as client:
            said = (await client.post("/sessions")).json()
            async with client.stream("GET", f"/sessions/{said['id']}/events") as answer:
                stream, told = Stream(answer), []
                for number in range(20):
                    await EventStore(redis).add(said["room"], warning(str(number)))
                    app.state.service.leaving |= number == 3
                    told.append((await stream.next())["event"])
                    if told[-1] != "warning":
                        break

    assert told[-1] == "the stream has ended"


async def test_a_client_that_leaves_amid_events_is_no_error(
    server: httpx.AsyncClient,
    redis: Redis,
    session: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who leaves before all stored events are sent, as a reloaded page does, fails no request."""
    for _ in range(200):
        await EventStore(redis).add(session["room"], words("and so on " * 500))
    for _ in range(5):
        async with server.stream("GET", f"/sessions/{session['id']}/events") as answer:
            await Stream(answer).next()
    await server.delete(f"/sessions/{session['id']}")

    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.parametrize("all_of", ["the service's", "the caller's"])
async def test_the_number_of_streams_is_limited(
    server: httpx.AsyncClient,
    session: dict[str, Any],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    all_of: str,
) -> None:
    """A stream over the service's or the caller's limit is refused until another one has ended."""
    if all_of == "the service's":
        monkeypatch.setattr("token_service.service.STREAMS", 1)
    else:
        monkeypatch.setitem(settings.__dict__, "streams_per_caller", 1)
    path = f"/sessions/{session['id']}/events"
    async with server.stream("GET", path):
        refused = await server.get(path)

    async def free_again() -> bool:
        async with server.stream("GET", path) as answer:
            return answer.status_code == 200

    assert (refused.status_code, refused.json()["error"]) == (503, "busy")
    await eventually(free_again, "the first stream no longer counts")


async def test_all_streams_leave_redis_connections_free(service: Service) -> None:
    """Redis still answers the service while as many streams are open as are allowed."""
    following = [service.events.follow(f"followed {number}", "0") for number in range(STREAMS)]
    waiting = [asyncio.ensure_future(anext(each)) for each in following]
    await asyncio.sleep(0.5)
    alive = await service.redis.ping()
    told = await asyncio.gather(*waiting)

    assert alive
    assert told == [None] * STREAMS


async def test_redis_keeps_the_latest_events_for_an_hour(redis: Redis) -> None:
    """redis keeps about the last 500 events of a room, for an hour."""
    events = EventStore(redis)
    for number in range(EVENTS_KEPT + 150):
        await events.add("long", warning(str(number)))

    assert EVENTS_KEPT <= await redis.xlen(events_key("long")) < EVENTS_KEPT + 150
    assert 3590 < await redis.ttl(events_key("long")) <= 3600


async def test_a_stream_that_is_not_followed_ends_after_the_stored_events(
    server: httpx.AsyncClient, session: dict[str, Any], redis: Redis
) -> None:
    """With `follow=false` a stream ends after the stored events, or those after an id."""
    store = EventStore(redis)
    for code in ("one", "two"):
        await store.add(session["room"], warning(code))
    path = f"/sessions/{session['id']}/events"
    async with asyncio.timeout(10):
        answer = await server.get(path, params={"follow": False})
        [first, last] = [line[4:] for line in answer.text.splitlines() if line.startswith("id: ")]
        rest = await server.get(path, params={"follow": False}, headers={"Last-Event-ID": first})
        none = await server.get(path, params={"follow": False}, headers={"Last-Event-ID": last})

    assert answer.text.count("event: warning") == 2
    assert "two" in rest.text and "one" not in rest.text
    assert (none.status_code, "data:" in none.text) == (200, False)
