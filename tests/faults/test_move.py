"""Rooms move to other workers while their personas talk: what a person and the service notice."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus

import pytest
import redis

from harness.person import eventually
from protocol.events import TranscriptEvent, WarningEvent
from tests.faults.call import poll_until
from tests.faults.cluster import Cluster
from tests.faults.conftest import TALK
from tests.faults.talk import forgotten, said, talk
from tests.worker.scripted.schedule import Schedule, SpeechPlan
from worker.backup.chunk import backup_keys

PAIR = ("chef", "astronaut")
ROOMS = 4
LINE = "Dinner is ready."
LOOKS_S = 5.0  # in which the token service looks at each room five times


async def test_a_room_moves_while_two_personas_talk(talking: Cluster) -> None:
    """In a move no voices overlap, each persona stays shown, and no word or frame is lost."""
    async with talk(talking, *PAIR) as room:
        old = {each.identity for each in room.ann.personas}
        first_host = talking.host_of(room.room)
        answers = [room.asks("move"), room.asks("move")]
        await room.is_hosted(2)
        second_host = talking.host_of(room.room)
        session, events = room.session, room.events
        everybody = list(room.ann.heard)

        assert [each.status_code for each in answers] == [202, 409]
        assert answers[1].json()["error"] == "moving"
        assert second_host is not first_host
        assert [session["state"], session["generation"], room.least_shown] == ["live", 2, 1]
        assert len(everybody) == 4
        assert room.ann.timeline.overlaps_s(everybody) == []
        assert forgotten(room) == {}
        spoken = [e.identity in old for e in events if isinstance(e, TranscriptEvent)]
        read = [message.identity in old for message in room.ann.messages]
        for first_ones in (spoken, read):  # the first host's come before the second's
            assert first_ones == sorted(first_ones, reverse=True)
            assert {*first_ones} == {True, False}
        assert {each.type for each in events} <= {
            "dispatched",
            "people",
            "state",
            "transcript",
            "floor",
        }


async def test_commands_during_a_move_are_done_once(talking: Cluster, schedule: Schedule) -> None:
    """Commands during a move are done once: a mute, an added persona, a line."""
    async with talk(talking, *PAIR) as room:
        schedule.write({"chef": SpeechPlan()})
        await room.stands_by()
        chef, astronaut = (each.id for each in room.personas)
        answers = [
            room.asks("say", persona_id=astronaut, text=LINE),
            room.asks("personas", personas=["teacher"]),
            room.asks("mute", persona_id=chef, muted=True),
        ]
        assert [each.status_code for each in answers] == [202, 201, 202], answers[1].text
        await poll_until(lambda: room.spec.generation == 2)
        await poll_until(
            lambda: set(room.shown()) == {*PAIR, "teacher"} and len(room.ann.personas) == 3
        )
        since = room.ann.timeline.now
        again = room.asks("say", persona_id=astronaut, text=LINE)
        await poll_until(lambda: len(said(room)) == 2)

        assert again.status_code == HTTPStatus.ACCEPTED
        assert [each.whole for each in said(room)] == [True, True]
        assert room.ann.timeline.spoke_s(room.shown()["chef"]) == 0
        assert room.ann.timeline.spoke_s(room.shown()["astronaut"], since) > 0
        assert room.ann.timeline.overlaps_s(room.ann.heard) == []
        assert room.least_shown == 1


async def test_a_move_waits_while_redis_is_away(talking: Cluster, schedule: Schedule) -> None:
    """While redis is away the room's host goes on alone, and afterwards the room has one host."""
    async with talk(talking, "chef") as room:
        schedule.write({"chef": SpeechPlan()})
        first = room.shown()["chef"]
        await room.stands_by()
        with redis.Redis.from_url(talking.redis_url) as client:
            client.save()
        talking.redis.kill()
        since = room.ann.timeline.now
        schedule.write(TALK)  # with pauses, in each of which the room could move
        await eventually(lambda: room.ann.timeline.spoke_s(first, since) > 4, "it goes on", 60.0)
        meanwhile = room.shown()
        talking.redis.start()
        await poll_until(lambda: not room.spec.standby and len(room.ann.personas) == 1)
        since, [now] = room.ann.timeline.now, room.shown().values()
        await eventually(lambda: room.ann.timeline.spoke_s(now, since) > 1, "it goes on", 60.0)

        assert meanwhile == {"chef": first}
        assert room.ann.timeline.overlaps_s(room.ann.heard) == []
        assert room.least_shown == 1
        assert room.session["state"] == "live"


@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_a_rolling_restart_loses_no_room_and_no_memory(talking: Cluster) -> None:
    """When the workers drain one after the other, every room goes on at the other worker."""
    async with AsyncExitStack() as stack:
        talks = [talk(talking, "chef", only_reads=True) for _ in range(ROOMS)]
        rooms = await asyncio.gather(*map(stack.enter_async_context, talks))
        generations = [1] * ROOMS
        for worker in talking.workers:
            name = str(worker.told()["worker_id"])
            hosted = [talking.host_of(each.room) is worker for each in rooms]
            generations = [n + moves for n, moves in zip(generations, hosted, strict=True)]
            worker.drain()
            await poll_until(lambda name=name: not talking.beats(name))
            worker.stop()
            for room, generation in zip(rooms, generations, strict=True):
                await room.is_hosted(generation)
            worker.start()
            await poll_until(talking.all_ready)

        assert [each.spec.generation for each in rooms] == generations
        assert sum(generations) > 2 * ROOMS
        assert [forgotten(room) for room in rooms] == [{}] * ROOMS
        assert {each.session["state"] for each in rooms} == {"live"}


async def test_a_room_goes_on_where_its_memory_cannot_be_read(talking: Cluster) -> None:
    """A host that cannot read its persona's memory tells that once, and the persona talks."""
    async with talk(talking, "chef") as room:
        key = backup_keys(room.spec, room.personas[0], "scripted")[0]
        with redis.Redis.from_url(talking.redis_url) as client:
            client.rpush(key, b'{"format":2}\n')
        assert room.asks("move").status_code == HTTPStatus.ACCEPTED
        await room.is_hosted(2)
        warned = [each for each in room.events if isinstance(each, WarningEvent)]

        assert [(each.code, each.persona_id) for each in warned] == [
            ("memory_unreadable", room.personas[0].id)
        ]
        assert room.least_shown == 1


async def test_a_redis_that_forgot_the_move_learns_of_it(talking: Cluster) -> None:
    """After a redis came back with data from before a move, the room's host is the only one."""
    async with talk(talking, "chef") as room:
        with redis.Redis.from_url(talking.redis_url) as client:
            client.save()
        assert room.asks("move").status_code == HTTPStatus.ACCEPTED
        await room.is_hosted(2)
        before = {each.identity for each in room.ann.personas}
        talking.redis.kill()
        talking.redis.start()
        await poll_until(lambda: room.spec.generation >= 2)
        await asyncio.sleep(LOOKS_S)

        assert {each.identity for each in room.ann.personas} == before
        assert (room.session["state"], room.session["generation"]) == ("live", 2)


@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_a_call_goes_on_when_a_host_dies_in_a_move(
    talking: Cluster, schedule: Schedule
) -> None:
    """The call goes on when either host of a move dies, and a session can end in a move."""
    async with talk(talking, "chef") as room:
        schedule.write({"chef": SpeechPlan()})

        host, other = await room.stands_by()
        other.kill()
        await poll_until(lambda: not room.spec.standby)
        after_first = (talking.host_of(room.room), room.spec.generation)
        other.start()
        await poll_until(talking.all_ready)

        await room.stands_by()
        host.kill()
        await poll_until(lambda: room.spec.generation == 3)
        await poll_until(lambda: len(room.ann.personas) == 1)
        after_second = talking.host_of(room.room)
        await poll_until(lambda: bool(room.remembered()["chef"]))
        lost = forgotten(room)
        host.start()
        await poll_until(talking.all_ready)

        await room.stands_by()
        talking.services[0].deletes(f"/sessions/{room.session['id']}")
        await poll_until(lambda: talking.slots_used() == 0)

        assert after_first == (host, 1)
        assert after_second is other
        assert lost == {}
