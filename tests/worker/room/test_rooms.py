"""Rooms of people and personas, over a real LiveKit, redis, token service and worker."""

import asyncio
import time
from collections.abc import Callable

import httpx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from livekit import api, rtc
from redis.asyncio import Redis

from harness.person import WITHIN_S, eventually, person
from harness.rooms import all_free, asking_for, change_spec, in_talk, room_events, slots_used
from harness.stack import Stack
from protocol import wire
from protocol.events import PeopleEvent, StateEvent
from protocol.heartbeat import Heartbeat, heartbeat_key
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from tests.token_service.players import seal_of
from tests.worker.conftest import ECHO_CAPACITY
from tests.worker.scripted.schedule import TALKS, Schedule
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import CALM_DISPATCHES
from token_service.rooms.livekit import LiveKitRooms
from worker.room.chat import CANNOT_READ
from worker.sound.mix import heard_by_each


async def test_a_persona_has_livekits_identity_attributes_and_track(echo: Stack) -> None:
    """A persona is an agent with its label as name, its attributes, and one microphone."""
    async with person(echo.url, asking_for("chef")) as ann:
        await in_talk(ann)
        chef = ann.personas[0]
        await eventually(lambda: bool(chef.track_publications), "its track")

        assert chef.name == "Chef"
        assert chef.identity.startswith("agent-chef-")
        assert (chef.attributes["persona"], chef.attributes["model"]) == ("chef", "echo")
        sources = [publication.source for publication in chef.track_publications.values()]
        assert sources == [rtc.TrackSource.SOURCE_MICROPHONE]
    await all_free(echo)


async def test_a_persona_hears_a_microphone_that_was_published_again(echo: Stack) -> None:
    """A person who unpublishes and publishes again keeps the persona, which hears the new track."""
    async with person(echo.url) as ann:
        await in_talk(ann)
        who = ann.personas[0].identity
        await ann.unpublish()
        ann.tone_hz = 700.0
        await ann.publish()
        await eventually(lambda: abs(ann.loudest_hz(who) - 700.0) < 5.0, "the new track is heard")

        assert [p.identity for p in ann.personas] == [who]
    await all_free(echo)


async def test_two_people_are_heard_in_one_room(echo: Stack) -> None:
    """A persona hears both people of a room."""
    async with (
        person(echo.url, {"room_name": "pair"}) as ann,
        person(echo.url, {"room_name": "pair"}) as bob,
    ):
        await in_talk(ann)
        who = ann.personas[0].identity
        bob.tone_hz = 600.0
        await eventually(lambda: abs(ann.loudest_hz(who) - 600.0) < 5.0, "bob is heard")
        bob.tone_hz, ann.tone_hz = 0.0, 300.0
        await eventually(lambda: abs(bob.loudest_hz(who) - 300.0) < 5.0, "ann is heard")

        assert [p.identity for p in bob.personas] == [who]
    await all_free(echo)


async def test_a_typed_line_is_answered(echo: Stack) -> None:
    """One of two personas answers that it cannot read."""
    async with person(echo.url, asking_for("chef", "teacher")) as ann:
        await in_talk(ann, 2)
        await ann.room.local_participant.send_text("hello?", topic=wire.CHAT_TOPIC)
        await eventually(lambda: bool(ann.chat), "an answer")

        assert [text for _, text in ann.chat] == [CANNOT_READ]
        assert ann.chat[0][0] in {p.identity for p in ann.personas}
    await all_free(echo)


async def test_a_full_worker_refuses_and_goes_on(echo: Stack) -> None:
    """Of a full worker a token request gets 503 and a job is refused, and the call goes on."""
    async with (
        person(echo.url, asking_for("chef", "teacher", "astronaut")) as ann,
        echo.livekit.client() as livekit,
        Redis.from_url(echo.redis_url) as redis,
    ):
        await in_talk(ann, ECHO_CAPACITY)
        async with httpx.AsyncClient(base_url=echo.url, trust_env=False) as http:
            answer = await http.post("/token", json={})
        [key] = await redis.keys(heartbeat_key("*"))
        worker = Heartbeat.model_validate_json(await redis.get(key)).worker_id
        late = RoomSpec(
            room="late", personas=(Persona(name="chef", label="Chef"),), generation=1, worker=worker
        )
        await livekit.room.create_room(api.CreateRoomRequest(name=late.room, empty_timeout=1))
        await LiveKitRooms(livekit, seal_of(echo.livekit)).dispatch(late)
        refused = False
        async with asyncio.timeout(WITHIN_S):
            while not refused:
                beat = Heartbeat.model_validate_json(await redis.get(key))
                reported = beat.outcomes.get(late.room)
                refused = reported is not None and reported.outcome == "refused"
                await asyncio.sleep(0.05)
        ann.tone_hz = 450.0
        who = ann.personas[0].identity
        await eventually(lambda: ann.rms(who) > 0.05, "the voice goes on")

        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert int(answer.headers["Retry-After"]) > 0
    await all_free(echo)


async def test_a_closed_room_can_be_joined_again_at_once(echo: Stack) -> None:
    """A room that was closed gets its persona again at once, and no worker is blamed for it."""
    async with Redis.from_url(echo.redis_url, decode_responses=True) as redis:
        for _ in range(CALM_DISPATCHES + 1):
            async with person(echo.url, asking_for("chef", room_name="again")) as ann:
                await in_talk(ann)
                await echo.close_rooms()
        await all_free(echo)

        assert (await FleetReader(redis).fleet()).schedule.workers == {}


async def test_personas_join_and_leave_as_the_spec_says(echo: Stack) -> None:
    """A persona added to the spec joins, one removed from it leaves, and the other stays."""
    async with person(echo.url, asking_for("chef")) as ann:
        await in_talk(ann)
        room, chef = ann.room.name, ann.personas[0].identity
        teacher = persona_specs([Persona(name="teacher", label="Teacher")])

        def with_teacher(old: RoomSpec) -> RoomSpec:
            return old.model_copy(update={"personas": old.personas + teacher})

        await change_spec(echo, room, with_teacher)
        await in_talk(ann, 2)
        newcomer = next(p for p in ann.personas if p.identity != chef)
        await change_spec(
            echo, room, lambda old: old.model_copy(update={"personas": old.personas[:1]})
        )
        await eventually(lambda: len(ann.personas) == 1, "the teacher leaves")

        assert (newcomer.name, ann.personas[0].identity) == ("Teacher", chef)
        assert newcomer.attributes[wire.ATTR_PERSONA_ID] == teacher[0].id
    await all_free(echo)


async def test_a_persona_that_livekit_removed_joins_again(echo: Stack) -> None:
    """A persona that LiveKit removed joins again and is heard; the other one stays."""
    async with (
        person(echo.url, asking_for("chef", "teacher")) as ann,
        echo.livekit.client() as livekit,
    ):
        await in_talk(ann, 2)
        chef, teacher = sorted(p.identity for p in ann.personas)
        await livekit.room.remove_participant(
            api.RoomParticipantIdentity(room=ann.room.name, identity=teacher)
        )
        await eventually(lambda: teacher not in {p.identity for p in ann.personas}, "it is gone")
        await in_talk(ann, 2)
        [again] = {p.identity for p in ann.personas} - {chef}
        ann.tone_hz = 450.0
        await eventually(lambda: ann.rms(again) > 0.05, "its voice is heard")

        assert await slots_used(echo) == 2
    await all_free(echo)


async def test_a_muted_persona_is_silent(echo: Stack) -> None:
    """A muted persona is silent until it is unmuted."""
    async with person(echo.url) as ann:
        await in_talk(ann)
        ann.tone_hz = 500.0
        who = ann.personas[0].identity

        def muted(on: bool) -> Callable[[RoomSpec], RoomSpec]:
            return lambda old: old.model_copy(
                update={"personas": tuple(p.model_copy(update={"muted": on}) for p in old.personas)}
            )

        await eventually(lambda: ann.rms(who) > 0.2, "it sounds")
        await change_spec(echo, ann.room.name, muted(True))
        await eventually(lambda: ann.rms(who) < 0.001, "it is silent")
        await change_spec(echo, ann.room.name, muted(False))
        await eventually(lambda: ann.rms(who) > 0.2, "it sounds again")
    await all_free(echo)


async def test_everyone_leaves_a_session_that_has_ended(echo: Stack) -> None:
    """When a session ends, its slots become free and its people are disconnected."""
    async with person(echo.url) as ann:
        await in_talk(ann)
        ended = {"ended": True, "ended_s": time.time()}
        await change_spec(echo, ann.room.name, lambda old: old.model_copy(update=ended))
        await all_free(echo)
        await eventually(lambda: not ann.room.isconnected(), "the person is shown out")


async def test_states_and_people_are_events(echo: Stack) -> None:
    """A persona's states, which follow its voice, and people's comings and goings are events.

    The person whom the personas come for is there before them, and joined as well.
    """
    async with person(echo.url) as ann:
        await in_talk(ann)
        ann.tone_hz = 400.0
        who = ann.personas[0].identity
        await eventually(lambda: (who, "speaking") in ann.states, "it speaks")
        ann.tone_hz = 0.0
        await eventually(lambda: ann.states[-1] == (who, "listening"), "it listens again")
        room = ann.room.name
    await all_free(echo)
    events = await room_events(echo, room)
    states = [e.state for e in events if isinstance(e, StateEvent) and e.identity == who]
    people = [(e.change, e.people) for e in events if isinstance(e, PeopleEvent)]

    assert states[:3] == ["listening", "speaking", "listening"]
    assert people == [("joined", 1), ("left", 0)]


async def test_words_reach_every_kind_of_client(scripted: Stack, schedule: Schedule) -> None:
    """A final segment has the same text as text stream, older packet and JSON message."""
    schedule.write({"assistant": TALKS})
    async with person(scripted.url) as ann:
        await in_talk(ann)
        await eventually(lambda: bool(ann.words and ann.messages and ann.packets), "words")
        message = ann.messages[0]
        await eventually(lambda: ann.packets[message.id].final, "the packet is final")
        stream = next(w for w in ann.words if w.attributes[wire.ATTR_SEGMENT_ID] == message.id)
        track = next(iter(ann.personas[0].track_publications.values())).sid

        assert stream.text == message.text == ann.packets[message.id].text
        assert stream.attributes[wire.ATTR_SEGMENT_FINAL] == "true"
        assert stream.attributes[wire.ATTR_TRACK_ID] == track
        assert stream.identity == message.identity == ann.personas[0].identity
        assert message.start_s < message.end_s
    await all_free(scripted)


waves = st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4)


@given(waves, st.lists(st.none() | waves, max_size=4))
def test_a_persona_hears_everyone_but_itself(
    people: list[float], voices: list[list[float] | None]
) -> None:
    """Each persona hears the people and the other personas, and not its own voice."""
    frames = [None if v is None else np.array(v, dtype=np.float32) for v in voices]
    heard = heard_by_each(np.array(people, dtype=np.float32), frames)

    for index, pcm in enumerate(heard):
        others = [f for i, f in enumerate(frames) if i != index and f is not None]
        expected = np.clip(np.sum([np.array(people), *others], axis=0), -1, 1)
        np.testing.assert_allclose(pcm, expected, atol=1e-6)
