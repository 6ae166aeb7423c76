"""Rooms move to other workers while their personas talk: what a person and the service notice."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus

import pytest
import redis

from harness.person import eventually
from protocol.events import TranscriptEvent
from tests.faults.call import seldom
from tests.faults.cluster import Cluster
from tests.faults.conftest import TALK
from tests.faults.talk import forgets_nothing, said, talk
from tests.worker.scripted.schedule import Schedule, Wish

PAIR = ("chef", "astronaut")
ROOMS = 4
LINE = "Dinner is ready."


async def test_a_room_moves_while_two_personas_talk(talking: Cluster) -> None:
    """No two voices at once, each persona always shown, words in order, nothing forgotten.

    A second move is refused while one is under way.
    """
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
        assert forgets_nothing(room)
        spoken = [e.identity in old for e in events if isinstance(e, TranscriptEvent)]
        read = [message.identity in old for message in room.ann.messages]
        for first_ones in (spoken, read):  # those of the first host, then those of the second
            assert first_ones == sorted(first_ones, reverse=True)
            assert {*first_ones} == {True, False}
        assert {each.type for each in events} <= {
            "dispatched",
            "people",
            "state",
            "transcript",
            "floor",
        }


async def test_what_is_asked_for_during_a_move_is_done_once(
    talking: Cluster, schedule: Schedule
) -> None:
    """A persona that is muted stays silent, one that is added comes, a line is said once."""
    async with talk(talking, *PAIR) as room:
        schedule.write({"chef": Wish()})
        await room.stands_by()
        chef, astronaut = (each.id for each in room.personas)
        answers = [
            room.asks("say", persona_id=astronaut, text=LINE),
            room.asks("personas", personas=["teacher"]),
            room.asks("mute", persona_id=chef, muted=True),
        ]
        assert [each.status_code for each in answers] == [202, 201, 202], answers[1].text
        await seldom(lambda: room.spec.generation == 2)
        await seldom(
            lambda: set(room.shown()) == {*PAIR, "teacher"} and len(room.ann.personas) == 3
        )
        since = room.ann.timeline.now
        again = room.asks("say", persona_id=astronaut, text=LINE)
        await seldom(lambda: len(said(room)) == 2)

        assert again.status_code == HTTPStatus.ACCEPTED
        assert [each.whole for each in said(room)] == [True, True]
        assert room.ann.timeline.spoke_s(room.shown()["chef"]) == 0
        assert room.ann.timeline.spoke_s(room.shown()["astronaut"], since) > 0
        assert room.ann.timeline.overlaps_s(room.ann.heard) == []
        assert room.least_shown == 1


async def test_a_move_waits_while_redis_is_away(talking: Cluster, schedule: Schedule) -> None:
    """The room's host goes on alone; once redis is back, the room has one host that goes on."""
    async with talk(talking, "chef") as room:
        schedule.write({"chef": Wish()})
        first = room.shown()["chef"]
        await room.stands_by()
        with redis.Redis.from_url(talking.redis_url) as client:
            client.save()
        talking.redis.kill()
        since = room.ann.timeline.now
        schedule.write(TALK)  # with pauses, in each of which it could move
        await eventually(lambda: room.ann.timeline.spoke_s(first, since) > 4, "it goes on", 60.0)
        meanwhile = room.shown()
        talking.redis.start()
        await seldom(lambda: not room.spec.standby and len(room.ann.personas) == 1)
        since, [now] = room.ann.timeline.now, room.shown().values()
        await eventually(lambda: room.ann.timeline.spoke_s(now, since) > 1, "it goes on", 60.0)

        assert meanwhile == {"chef": first}
        assert room.ann.timeline.overlaps_s(room.ann.heard) == []
        assert room.least_shown == 1
        assert room.session["state"] == "live"


@pytest.mark.alone
@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_a_rolling_restart_loses_no_room_and_forgets_none(talking: Cluster) -> None:
    """Workers drain one after the other; every room goes on at the other one."""
    async with AsyncExitStack() as stack:
        talks = [talk(talking, "chef", only_reads=True) for _ in range(ROOMS)]
        rooms = await asyncio.gather(*map(stack.enter_async_context, talks))
        generations = [1] * ROOMS
        for worker in talking.workers:
            name = str(worker.told()["worker_id"])
            hosted = [talking.host_of(each.room) is worker for each in rooms]
            generations = [n + moves for n, moves in zip(generations, hosted, strict=True)]
            worker.drain()
            await seldom(lambda name=name: not talking.beats(name))
            worker.stop()
            for room, generation in zip(rooms, generations, strict=True):
                await room.is_hosted(generation)
            worker.start()
            await seldom(talking.is_whole)

        assert [each.spec.generation for each in rooms] == generations
        assert sum(generations) > 2 * ROOMS
        assert all(map(forgets_nothing, rooms))
        assert {each.session["state"] for each in rooms} == {"live"}


@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_whatever_fails_in_a_move_the_call_goes_on(
    talking: Cluster, schedule: Schedule
) -> None:
    """The next host dies: the first goes on. The first one dies: the next takes over.

    A session that ends while it moves ends at both. The persona never pauses, so that a host stands
    by for a while.
    """
    async with talk(talking, "chef") as room:
        schedule.write({"chef": Wish()})

        host, other = await room.stands_by()
        other.kill()
        await seldom(lambda: not room.spec.standby)
        after_first = (talking.host_of(room.room), room.spec.generation)
        other.start()
        await seldom(talking.is_whole)

        await room.stands_by()
        host.kill()
        await seldom(lambda: room.spec.generation == 3)
        await seldom(lambda: len(room.ann.personas) == 1)
        after_second = talking.host_of(room.room)
        await seldom(lambda: bool(room.remembered()["chef"]))
        remembers = forgets_nothing(room)
        host.start()
        await seldom(talking.is_whole)

        await room.stands_by()
        talking.services[0].deletes(f"/sessions/{room.session['id']}")
        await seldom(lambda: talking.slots_used() == 0)

        assert after_first == (host, 1)
        assert after_second is other
        assert remembers
