"""Rooms move to other workers while their personas talk: what a person and a program notice."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import redis

from harness.person import Person, eventually, person
from protocol import wire
from protocol.events import EVENT_FIELD, Event, TranscriptEvent, events_key, read_event
from protocol.room_spec import PersonaSpec, RoomSpec, spec_key
from tests.faults.call import asking_for, seldom
from tests.faults.cluster import Cluster, Web
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, Wish
from worker.backup.chunk import backup_keys, read_chunks

WITHIN_S = 60.0  # of a machine that does other things, too
PAIR = ("chef", "astronaut")
ROOMS = 4
TALK = {"chef": Wish(speaks=20, rest=15), "astronaut": Wish(at=10, speaks=20, rest=15, hz=700.0)}


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """What personas say, which a test may change."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "wishes.json")


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Cluster]:
    """A cluster whose workers run the model that follows the schedule."""
    cluster = Cluster(
        tmp_path_factory.mktemp("move"),
        worker_module="tests.worker.scripted",
        drain_grace_s="60",
        floor_alone_turns="1000",
        floor_alone_s="1000",
        **{SCHEDULE_FILE.lower(): str(schedule.path)},
    )
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def cluster(talking: Cluster, schedule: Schedule) -> Cluster:
    """Return it with two idle workers."""
    schedule.write(TALK)
    talking.become(services=1, workers=2)
    return talking


class Talk:
    """A room in which personas talk, as one person in it and its events tell."""

    def __init__(self, cluster: Cluster, ann: Person) -> None:
        self._cluster, self.ann, self.room = cluster, ann, ann.room.name
        self.personas: tuple[PersonaSpec, ...] = ()  # once they are there
        self.least_shown = 1  # participants that show one persona
        for event in ("participant_disconnected", "participant_attributes_changed"):
            ann.room.on(event, lambda *_: self._count())

    def _count(self) -> None:
        shown = Counter(
            each.attributes[wire.ATTR_PERSONA_ID]
            for each in self.ann.personas
            if wire.ATTR_ON_BEHALF not in each.attributes
        )
        counts = [shown[each.id] for each in self.personas]
        self.least_shown = min([self.least_shown, *counts])

    @property
    def session(self) -> dict[str, Any]:
        """The session as the service tells it."""
        listed: list[dict[str, Any]] = json.loads(self._cluster.services[0].reads("/sessions"))
        [found] = [each["id"] for each in listed if each["room"] == self.room]
        return json.loads(self._cluster.services[0].reads(f"/sessions/{found}"))

    def moves(self) -> httpx.Response:
        """Ask for a move, and return the answer."""
        return self._cluster.services[0].asked(f"/sessions/{self.session['id']}/move", {})

    async def is_hosted(self, generation: int) -> None:
        """Wait until this generation's host is the room's, and every persona has spoken there."""
        await seldom(lambda: self.spec.generation >= generation)

        def spoke() -> bool:
            here = {each.identity for each in self.ann.personas}
            there = {each.identity for each in self.ann.messages}
            return len(here) == len(self.spec.personas) and here <= there

        await eventually(spoke, f"all speak at host {generation}", WITHIN_S)

    @property
    def spec(self) -> RoomSpec:
        """The room's spec."""
        with redis.Redis.from_url(self._cluster.redis_url, decode_responses=True) as client:
            return RoomSpec.from_metadata(str(client.get(spec_key(self.room))))

    @property
    def events(self) -> list[Event]:
        """The room's events."""
        with redis.Redis.from_url(self._cluster.redis_url, decode_responses=True) as client:
            entries: Any = client.xrange(events_key(self.room))
        return [read_event(fields[EVENT_FIELD]) for _, fields in entries]

    def remembered(self) -> dict[str, list[int]]:
        """Return the frames that each persona remembers, by name."""
        with redis.Redis.from_url(self._cluster.redis_url) as client:
            kept = {
                each.name: client.lrange(backup_keys(self.spec, each, "scripted")[0], 0, -1)
                for each in self.spec.personas
            }
        return {
            name: read_chunks(chunks)[0].tokens[:, 0].tolist()  # type: ignore[arg-type]  # redis-py's union of both clients
            for name, chunks in kept.items()
        }


@asynccontextmanager
async def talk(cluster: Cluster, *personas: str) -> AsyncGenerator[Talk]:
    """Open a room in which these personas have begun to talk."""
    async with person(cluster.url, asking_for(*personas)) as ann:
        talk = Talk(cluster, ann)
        await talk.is_hosted(1)
        talk.personas = talk.spec.personas
        yield talk


def forgets_nothing(talk: Talk) -> bool:
    """Whether all frames since the room's first host are remembered, each once."""
    return all(
        frames == list(range(frames[0], frames[0] + len(frames))) and frames[0] <= 2
        for frames in talk.remembered().values()
    )


async def test_a_room_moves_while_two_personas_talk(cluster: Cluster) -> None:
    """No two voices at once, each persona always shown, words in order, nothing forgotten.

    A second move is refused while one is under way.
    """
    async with talk(cluster, *PAIR) as room:
        old = {each.identity for each in room.ann.personas}
        first_host = cluster.host_of(room.room)
        answers = [room.moves(), room.moves()]
        await room.is_hosted(2)
        second_host = cluster.host_of(room.room)
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


@pytest.mark.alone
@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_a_rolling_restart_loses_no_room_and_forgets_none(cluster: Cluster) -> None:
    """Workers drain one after the other; every room goes on at the other one."""
    async with AsyncExitStack() as stack:
        rooms = [await stack.enter_async_context(talk(cluster, "chef")) for _ in range(ROOMS)]
        generations = [1] * ROOMS
        for worker in cluster.workers:
            name = str(worker.told()["worker_id"])
            hosted = [cluster.host_of(each.room) is worker for each in rooms]
            generations = [n + moves for n, moves in zip(generations, hosted, strict=True)]
            worker.drain()
            await seldom(lambda name=name: not cluster.beats(name))
            worker.stop()
            for room, generation in zip(rooms, generations, strict=True):
                await room.is_hosted(generation)
            worker.start()
            await seldom(cluster.is_whole)

        assert [each.spec.generation for each in rooms] == generations
        assert sum(generations) > 2 * ROOMS
        assert all(map(forgets_nothing, rooms))
        assert {each.session["state"] for each in rooms} == {"live"}


@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_whatever_fails_in_a_move_the_call_goes_on(
    cluster: Cluster, schedule: Schedule
) -> None:
    """The next host dies: the first goes on. The first one dies: the next takes over.

    A session that ends while it moves ends at both. The persona never pauses, so that a host stands
    by for a while.
    """
    async with talk(cluster, "chef") as room:
        schedule.write({"chef": Wish()})

        async def stands_by() -> tuple[Web, Web]:
            """Begin a move; return the room's host and the one that stands by."""
            host = cluster.host_of(room.room)
            [other] = (each for each in cluster.workers if each is not host)
            assert room.moves().status_code == HTTPStatus.ACCEPTED
            await seldom(lambda: len(room.ann.personas) == 2)
            return host, other

        host, other = await stands_by()
        other.kill()
        await seldom(lambda: not room.spec.standby)
        after_first = (cluster.host_of(room.room), room.spec.generation)
        other.start()
        await seldom(cluster.is_whole)

        await stands_by()
        host.kill()
        await seldom(lambda: room.spec.generation == 3)
        await seldom(lambda: len(room.ann.personas) == 1)
        after_second = cluster.host_of(room.room)
        await seldom(lambda: bool(room.remembered()["chef"]))
        remembers = forgets_nothing(room)
        host.start()
        await seldom(cluster.is_whole)

        await stands_by()
        cluster.services[0].deletes(f"/sessions/{room.session['id']}")
        await seldom(lambda: cluster.slots_used() == 0)

        assert after_first == (host, 1)
        assert after_second is other
        assert remembers
