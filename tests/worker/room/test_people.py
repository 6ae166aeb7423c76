"""Which participants of a room are heard and served: people of every kind, and other agents."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import httpx
import pytest
from livekit import api, rtc

from harness.person import Person, eventually, fetch_token, joined, person
from harness.rooms import all_free, in_talk, room_events, slots_used
from harness.servers import LiveKit
from harness.stack import Stack
from protocol import wire
from token_service.http.token_request import fresh_name

TONE_HZ = 700.0


@asynccontextmanager
async def stranger(
    livekit: LiveKit,
    room: str,
    kind: str,
    attributes: dict[str, str] | None = None,
    *,
    hears: bool = True,
) -> AsyncGenerator[Person]:
    """Join a room as a participant of a kind, with a token not of the token service; say a tone."""
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(fresh_name("stranger"))
        .with_kind(cast(api.AccessToken.ParticipantKind, kind))  # its list is not whole
        .with_attributes(attributes or {})
        .with_grants(api.VideoGrants(room_join=True, room=room, can_subscribe=hears))
    )
    async with joined(livekit.url, token.to_jwt()) as there:
        there.tone_hz = TONE_HZ
        yield there


def echoes(there: Person, hz: float = TONE_HZ) -> bool:
    """Return whether a persona repeats the tone to a participant."""
    who = there.personas[0].identity
    return there.rms(who) > 0.05 and abs(there.loudest_hz(who) - hz) < 15


async def a_slot_is_used(stack: Stack) -> None:
    """Wait until a persona has a slot."""
    async with asyncio.timeout(30):
        while not await slots_used(stack):  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", ["sip", "connector"])
async def test_a_participant_that_only_publishes_gets_a_persona(roomy: Stack, kind: str) -> None:
    """A telephone or a connector alone in a room is served until it leaves."""
    room = fresh_name("room")
    await fetch_token(roomy.url, {"room_name": room})
    async with stranger(roomy.livekit, room, kind, hears=False):
        await a_slot_is_used(roomy)
    await all_free(roomy)


async def test_an_ingress_is_heard(roomy: Stack) -> None:
    """An ingress alone in a room is served until it leaves, and the persona hears it."""
    room = fresh_name("room")
    await fetch_token(roomy.url, {"room_name": room})
    async with stranger(roomy.livekit, room, "ingress") as line:
        await in_talk(line)
        await eventually(lambda: echoes(line), "its tone comes back")
    await all_free(roomy)


@pytest.mark.parametrize("kind", ["egress", "bridge", "agent"])
async def test_a_participant_that_is_no_person_keeps_no_slot(roomy: Stack, kind: str) -> None:
    """A room in which only a recorder, a bridge or another agent is left loses its slots."""
    room = fresh_name("room")
    async with person(roomy.url, {"room_name": room}) as ann:
        await in_talk(ann)
        async with stranger(roomy.livekit, room, kind) as staying:
            who = staying.room.local_participant.identity
            # Not sooner: LiveKit's client fails where a track comes while its room is closed.
            await eventually(lambda: who in ann.heard, "it is heard")
            await ann.room.disconnect()
            await all_free(roomy)


async def test_another_programs_agent_is_heard(roomy: Stack) -> None:
    """The persona hears an agent of another program."""
    room = fresh_name("room")
    async with person(roomy.url, {"room_name": room}) as ann:
        await in_talk(ann)
        async with stranger(roomy.livekit, room, "agent"):
            mine = next(p.identity for p in ann.personas if _is_persona(p))
            await eventually(lambda: abs(ann.loudest_hz(mine) - TONE_HZ) < 15, "the agent's tone")
    await all_free(roomy)


def _is_persona(participant: rtc.RemoteParticipant) -> bool:
    """Return whether a participant is one of our personas."""
    return wire.ATTR_PERSONA_ID in participant.attributes


async def test_an_avatar_of_a_persona_is_not_heard(roomy: Stack) -> None:
    """A persona does not hear a participant that speaks on its behalf."""
    room = fresh_name("room")
    async with person(roomy.url, {"room_name": room}) as ann:
        await in_talk(ann)
        mine = ann.personas[0].identity
        avatar = stranger(roomy.livekit, room, "agent", {wire.ATTR_ON_BEHALF: mine})
        async with avatar as face:
            who = face.room.local_participant.identity
            await eventually(lambda: ann.rms(who) > 0.05, "Ann hears the avatar")
            since = ann.timeline.now
            await asyncio.sleep(2.0)
            assert ann.timeline.spoke_s(mine, since) == 0.0
    await all_free(roomy)


async def test_sound_of_other_sources_is_heard(roomy: Stack) -> None:
    """A persona hears a track without a source, and the sound of a shared screen.

    Publishing such a track once failed after ten seconds.
    """
    sources = (rtc.TrackSource.SOURCE_UNKNOWN, rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
    async with person(roomy.url) as ann:
        await in_talk(ann)
        for source, hz in zip(sources, (TONE_HZ, 500.0), strict=True):
            await ann.unpublish()
            ann.tone_hz = hz
            await ann.publish(source)
            await eventually(lambda hz=hz: echoes(ann, hz), "the tone comes back")
    await all_free(roomy)


async def test_a_person_is_heard_with_two_tracks_at_a_time(roomy: Stack) -> None:
    """A third track is heard only once one of the first two is unpublished."""
    async with person(roomy.url) as ann:  # whose first track is silent
        await in_talk(ann)
        silent = ann.mouth
        assert silent is not None
        others = [await _hum(ann, hz) for hz in (500.0, TONE_HZ)]
        await eventually(lambda: echoes(ann, 500.0), "the second track comes back")
        await asyncio.sleep(1.0)
        second_alone = echoes(ann, 500.0)
        await ann.room.local_participant.unpublish_track(others[0].sid)
        await eventually(lambda: echoes(ann), "the third track comes back in its place")
    await all_free(roomy)
    assert second_alone


async def test_an_encrypted_track_is_not_heard_and_told(roomy: Stack) -> None:
    """A track that is encrypted from end to end would be loud noise; a warning names its person."""
    room = fresh_name("room")
    key = rtc.KeyProviderOptions(shared_key=b"a secret of the people")
    options = rtc.RoomOptions(encryption=rtc.E2EEOptions(key_provider_options=key))
    async with person(roomy.url, {"room_name": room}) as ann:
        await in_talk(ann)
        token = await fetch_token(roomy.url, {"room_name": room, "participant_identity": "bob"})
        bob = Person(rtc.Room(), tone_hz=TONE_HZ)
        await bob.room.connect(token["server_url"], token["participant_token"], options)
        since = ann.timeline.now
        await bob.publish()
        await asyncio.sleep(3.0)
        spoke_s = ann.timeline.spoke_s(ann.personas[0].identity, since)
        for task in bob.tasks:
            task.cancel()
        await bob.room.disconnect()
        told = [each for each in await room_events(roomy, room) if each.type == "warning"]
    await all_free(roomy)

    assert spoke_s == 0.0
    assert [(each.code, each.identity) for each in told] == [("encrypted", "bob")]


async def _hum(ann: Person, hz: float) -> rtc.LocalTrackPublication:
    """Publish another microphone that says a tone."""
    source = rtc.AudioSource(24_000, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track(f"{hz}", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await ann.room.local_participant.publish_track(track, options)
    ann.spawn(ann.say_tone(source, lambda: hz))
    return publication


async def test_a_person_cannot_change_their_own_attributes(roomy: Stack) -> None:
    """LiveKit takes no reserved attribute from a person, neither with the token nor in the room."""
    async with person(roomy.url, {"participant_attributes": {"floor": "true", "seat": "3"}}) as ann:
        await in_talk(ann)
        me = ann.room.local_participant
        asked = asyncio.create_task(
            me.set_attributes({wire.ATTR_FLOOR: "true", wire.ATTR_PERSONA_ID: "x"})
        )
        await asyncio.wait([asked], timeout=1)  # the SDK may say nothing
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        asking = api.ListParticipantsRequest(room=ann.room.name)
        async with roomy.livekit.client() as lkapi:
            inside = (await lkapi.room.list_participants(asking)).participants
        known = next(dict(one.attributes) for one in inside if one.identity == me.identity)
    await all_free(roomy)
    assert known.keys() == {"seat", wire.ATTR_TOKEN_ID}


async def test_the_workers_own_status_names_no_room(roomy: Stack) -> None:
    """The worker's status and metrics name no room, neither during it nor afterwards."""
    async with person(roomy.url) as ann:
        await in_talk(ann)
        room = ann.room.name
        async with httpx.AsyncClient(trust_env=False) as http:
            meanwhile = (await http.get(roomy.worker_url)).text
    await all_free(roomy)
    async with httpx.AsyncClient(trust_env=False) as http:
        afterwards = (await http.get(roomy.worker_url)).text
        metrics = (await http.get(f"{roomy.worker_url}/metrics")).text

    assert room not in meanwhile + afterwards + metrics
    assert '"slots_used":1' in meanwhile
