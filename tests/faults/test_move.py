"""Rooms move to other workers while their personas talk: what a person and a program notice."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from harness.person import Person, eventually, person
from protocol import wire
from protocol.events import EVENT_FIELD, Event, SaidEvent, TranscriptEvent, events_key, read_event
from protocol.room_spec import PersonaSpec, RoomSpec, spec_key
from tests.faults.call import asking_for, seldom
from tests.faults.cluster import Cluster, Web
from tests.worker.recording.listening import Samples, channels, found_at_s
from tests.worker.recording.test_part import noise
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, Wish
from worker.backup.chunk import backup_keys, read_chunks

WITHIN_S = 60.0  # of a machine that does other things, too
PAIR = ("chef", "astronaut")
ROOMS = 4
LINE = "Dinner is ready."
SETTLED_S = 1.5  # longer than the half second between two writes of a recording
NEAR_S = 1.0  # from a mouth to the worker, on a busy machine
TONE = np.sin(2 * np.pi * 440.0 * np.arange(48_000) / 48_000).astype(np.float32)  # of the chef
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

    def asks(self, what: str, **fields: Any) -> httpx.Response:
        """Ask for something about the session, and return the answer."""
        return self._cluster.services[0].asked(f"/sessions/{self.session['id']}/{what}", fields)

    async def stands_by(self) -> tuple[Web, Web]:
        """Begin a move; return the room's host and the worker on which the next one stands by."""
        host = self._cluster.host_of(self.room)
        [other] = (each for each in self._cluster.workers if each is not host)
        before, coming = {each.identity for each in self.ann.personas}, len(self.spec.personas)
        assert self.asks("move").status_code == HTTPStatus.ACCEPTED
        await seldom(lambda: len({each.identity for each in self.ann.personas} - before) == coming)
        await seldom(lambda: any(self.room in beat.outcomes for beat in self._cluster.heartbeats()))
        return host, other

    def shown(self) -> dict[str, str]:
        """Return the identities of the personas that frontends show, by name."""
        return {
            each.attributes[wire.ATTR_PERSONA]: each.identity
            for each in self.ann.personas
            if wire.ATTR_ON_BEHALF not in each.attributes
        }

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
async def talk(
    cluster: Cluster, *personas: str, only_reads: bool = False, **asked: Any
) -> AsyncGenerator[Talk]:
    """Open a room in which these personas have begun to talk; `asked`: more of the request."""
    body = asking_for(*personas) | asked
    async with person(cluster.url, body, only_reads=only_reads) as ann:
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
        answers = [room.asks("move"), room.asks("move")]
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


async def test_what_is_asked_for_during_a_move_is_done_once(
    cluster: Cluster, schedule: Schedule
) -> None:
    """A persona that is muted stays silent, one that is added comes, a line is said once."""
    async with talk(cluster, *PAIR) as room:
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


def said(room: Talk) -> list[SaidEvent]:
    """Return the ends of the lines that were told to personas."""
    return [each for each in room.events if isinstance(each, SaidEvent)]


async def test_a_move_waits_while_redis_is_away(cluster: Cluster, schedule: Schedule) -> None:
    """The room's host goes on alone; once redis is back, the room has one host that goes on."""
    async with talk(cluster, "chef") as room:
        schedule.write({"chef": Wish()})
        first = room.shown()["chef"]
        await room.stands_by()
        with redis.Redis.from_url(cluster.redis_url) as client:
            client.save()
        cluster.redis.kill()
        since = room.ann.timeline.now
        schedule.write(TALK)  # with pauses, in each of which it could move
        await eventually(lambda: room.ann.timeline.spoke_s(first, since) > 4, "it goes on", 60.0)
        meanwhile = room.shown()
        cluster.redis.start()
        await seldom(lambda: not room.spec.standby and len(room.ann.personas) == 1)
        since, [now] = room.ann.timeline.now, room.shown().values()
        await eventually(lambda: room.ann.timeline.spoke_s(now, since) > 1, "it goes on", 60.0)

        assert meanwhile == {"chef": first}
        assert room.ann.timeline.overlaps_s(room.ann.heard) == []
        assert room.least_shown == 1
        assert room.session["state"] == "live"


async def test_a_recording_goes_on_in_its_next_part(cluster: Cluster) -> None:
    """Both sides are in both parts, by one clock, and so are the words."""
    agreed = {wire.ATTR_RECORD_CONSENT: "true"}
    async with talk(cluster, "chef", record=True, participant_attributes=agreed) as room:
        session, spoken_s = room.session["id"], [await speaks(room.ann, 1)]
        await room.stands_by()
        await room.is_hosted(2)
        spoken_s.append(await speaks(room.ann, 2))
        await asyncio.sleep(1.0)
        is_shown = [each.attributes.get(wire.ATTR_RECORDING) for each in room.ann.personas]
    await seldom(lambda: cluster.slots_used() == 0)
    first, second = [await recorded(cluster, session, generation) for generation in (1, 2)]

    assert is_shown == ["true"]
    for seed, (sound, words) in enumerate((first, second), start=1):
        (found_s, likeness), began_s = found_at_s(said_by_ann(seed), sound[0]), spoken_s[seed - 1]
        assert likeness > 0.4
        assert abs(words["started_s"] + found_s - began_s) < NEAR_S
        assert found_at_s(said_by_ann(3 - seed), sound[0])[1] < 0.2
        assert found_at_s(TONE, sound[1])[1] > 0.8
        assert {each["name"] for each in words["segments"]} == {"Chef"}
    ends_s = first[1]["started_s"] + first[1]["duration_s"]
    assert second[1]["started_s"] - ends_s < NEAR_S


def said_by_ann(seed: int) -> Samples:
    """Return what Ann says with a seed, at 48 kHz."""
    return np.repeat(noise(seed, 10, 24_000), 2)


async def recorded(
    cluster: Cluster, session: str, generation: int
) -> tuple[Samples, dict[str, Any]]:
    """Return the sound and the words of a part, once they grow no more."""
    [path] = cluster.recordings.rglob(f"{session}/*-{generation}.ogg")
    await seldom(lambda: time.time() - path.stat().st_mtime > SETTLED_S)
    return channels(path), json.loads(path.with_suffix(".json").read_text())


async def speaks(ann: Person, seed: int) -> float:
    """Say 0.8 s of noise; return when it began, in seconds of the epoch."""
    began_s = time.time()
    ann.speech = noise(seed, 10, 24_000)
    await eventually(lambda: ann.speech is None, "it was said")
    return began_s


@pytest.mark.alone
@pytest.mark.timeout(300)  # a dispatch that LiveKit loses is made again after 30 s
async def test_a_rolling_restart_loses_no_room_and_forgets_none(cluster: Cluster) -> None:
    """Workers drain one after the other; every room goes on at the other one."""
    async with AsyncExitStack() as stack:
        talks = [talk(cluster, "chef", only_reads=True) for _ in range(ROOMS)]
        rooms = await asyncio.gather(*map(stack.enter_async_context, talks))
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

        host, other = await room.stands_by()
        other.kill()
        await seldom(lambda: not room.spec.standby)
        after_first = (cluster.host_of(room.room), room.spec.generation)
        other.start()
        await seldom(cluster.is_whole)

        await room.stands_by()
        host.kill()
        await seldom(lambda: room.spec.generation == 3)
        await seldom(lambda: len(room.ann.personas) == 1)
        after_second = cluster.host_of(room.room)
        await seldom(lambda: bool(room.remembered()["chef"]))
        remembers = forgets_nothing(room)
        host.start()
        await seldom(cluster.is_whole)

        await room.stands_by()
        cluster.services[0].deletes(f"/sessions/{room.session['id']}")
        await seldom(lambda: cluster.slots_used() == 0)

        assert after_first == (host, 1)
        assert after_second is other
        assert remembers
