"""How events of rooms are written to redis: to one that is far away, and one that is gone."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from structlog.testing import capture_logs

from harness.servers import free_port, start_redis
from protocol.events import EVENT_FIELD, Event, WarningEvent, events_key
from tests.worker.running import running
from worker.events import WAITING_MOST, EventWriter

ROUND_TRIP_S = 0.02


def numbered(number: int) -> Event:
    """Return an event with this number."""
    return WarningEvent(at_s=0.0, code="full", detail=str(number), persona_id="")


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each pipeline take `ROUND_TRIP_S` longer."""
    execute = Pipeline.execute

    async def later(pipe: Any) -> Any:
        await asyncio.sleep(ROUND_TRIP_S)
        return await execute(pipe)

    monkeypatch.setattr(Pipeline, "execute", later)


async def stored(redis_url: str, room: str) -> list[int]:
    """Return the numbers of a room's events in redis."""
    async with Redis.from_url(redis_url) as redis:
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], await redis.xrange(events_key(room)))
    return [int(json.loads(fields[EVENT_FIELD.encode()])["detail"]) for _, fields in entries]


@pytest.mark.usefixtures("far_away")
async def test_events_are_written_together_to_a_redis_far_away(redis_url: str) -> None:
    """400 events of four rooms take less than half of 400 round trips."""
    began_s = asyncio.get_running_loop().time()
    async with running(EventWriter(redis_url)) as writer:
        for number in range(400):
            writer.emit(f"far-{number % 4}", numbered(number))
    took_s = asyncio.get_running_loop().time() - began_s

    assert await stored(redis_url, "far-1") == list(range(1, 400, 4))
    assert took_s < 400 * ROUND_TRIP_S / 2


async def test_an_event_that_cannot_be_written_costs_no_other(redis_url: str) -> None:
    """Half a surrogate pair is in no UTF-8: with it the events of all rooms had ended."""
    half = WarningEvent(at_s=0.0, code="full", detail="\ud83d", persona_id="")
    with capture_logs() as logs:
        async with running(EventWriter(redis_url)) as writer:
            for each in (numbered(1), half, numbered(2)):
                writer.emit("half", each)

    assert await stored(redis_url, "half") == [1, 2]
    assert [each["event"] for each in logs] == ["event_not_written"]


async def test_a_rooms_events_are_read_but_for_those_of_a_newer_version(redis_url: str) -> None:
    """Events that this version does not know are left out; without redis there are none."""
    known = numbered(7)
    async with Redis.from_url(redis_url) as redis, running(EventWriter(redis_url)) as writer:
        for each in (b'{"type":"newer","at_s":0}', known.model_dump_json().encode()):
            await redis.xadd(events_key("read"), {EVENT_FIELD: each})
        assert await writer.read("read") == [known]
    async with running(EventWriter(f"redis://127.0.0.1:{free_port()}/0")) as writer:
        assert await writer.read("read") == []


async def test_events_wait_while_redis_is_away(tmp_path: Path) -> None:
    """Events are written once redis is back, and the log has at most three lines about it."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with capture_logs() as lines:
        async with running(EventWriter(url)) as writer:
            for number in range(100):  # before the first failure: those may be lost
                writer.emit("away", numbered(number))
            await asyncio.sleep(0.2)
            for number in range(100, 400):
                writer.emit("away", numbered(number))
                await asyncio.sleep(0)
            with start_redis(tmp_path, port):
                while await stored(url, "away") != list(range(100, 400)):  # noqa: ASYNC110 - redis tells nobody
                    await asyncio.sleep(0.05)

    logged = [each["event"] for each in lines]
    assert 1 <= logged.count("events_lost") <= 3, logged


async def test_a_full_redis_is_logged_once(tmp_path: Path) -> None:
    """The log has a line when redis takes no events any more, and one when it takes them again."""
    with capture_logs() as lines, start_redis(tmp_path) as url:
        async with Redis.from_url(url) as redis, running(EventWriter(url)) as writer:
            for most_bytes in (1, 1, 1, 0):
                await redis.config_set("maxmemory", most_bytes)
                writer.emit("full", numbered(most_bytes))
                await asyncio.sleep(0.1)

    assert [each["event"] for each in lines] == ["events_lost", "events_kept_again"]


async def test_at_most_waiting_most_events_wait() -> None:
    """Beyond `WAITING_MOST` the oldest events are dropped."""
    writer = EventWriter(f"redis://127.0.0.1:{free_port()}/0")
    for number in range(WAITING_MOST + 50):
        writer.emit("full", numbered(number))
    await asyncio.sleep(0)

    kept = [event for _, event in writer._waiting]  # pyright: ignore[reportPrivateUsage]
    assert kept == [numbered(number) for number in range(50, WAITING_MOST + 50)]
