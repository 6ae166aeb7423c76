"""Admission: when a room's spec is kept, when it is replaced, and which requests are refused."""

import asyncio
from dataclasses import replace

import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.events import RatedEvent
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from tests.token_service.players import (
    agent_token,
    beat,
    die,
    dispatched_to,
    joined,
    person_token,
    stop_waiting,
    write,
)
from token_service.auth.callers import ANYONE, Caller, GuestPass
from token_service.refusals import Refused, Unavailable
from token_service.rooms.admission import AdmissionRequest
from token_service.service import Service

CHEF = (Persona(name="chef", label="Chef"),)
TEACHER = (Persona(name="teacher", label="Teacher"),)
UNNAMED = replace(ANYONE, address="203.0.113.7", is_stranger=True)


def names(spec: RoomSpec) -> list[str]:
    """Return the names of the personas in a spec."""
    return [persona.name for persona in spec.personas]


async def test_the_spec_of_an_empty_room_is_replaced(
    service: Service, redis: Redis, room: str
) -> None:
    """While a room has no people and no host, the last request decides its personas."""
    await beat(redis)
    await service.admission.admit(AdmissionRequest(room, CHEF))

    assert names(await service.admission.admit(AdmissionRequest(room, TEACHER))) == ["teacher"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("was_used", [False, True], ids=["new", "used"])
async def test_the_first_request_decides_what_is_kept_of_a_room(
    service: Service, redis: Redis, room: str, first: bool, was_used: bool
) -> None:
    """Later requests of a room change neither whether words are written nor what is recorded."""
    await beat(redis)
    admission = replace(service.admission, may_record=True)
    asked = AdmissionRequest(room, CHEF, transcribe=first, record=first)
    spec = await admission.admit(asked)
    if was_used:
        await dispatched_to(service.specs, spec, "worker")
        await stop_waiting(service.specs, room)
    later = await admission.admit(replace(asked, transcribe=not first, record=not first))

    assert later.session == spec.session
    assert (later.transcribe, later.record) == (first, first)


async def test_a_sessions_events_outlive_the_next_request(
    service: Service, redis: Redis, room: str
) -> None:
    """A room that is entered again keeps its events, but not for strangers or a new session."""
    await beat(redis)
    rated = RatedEvent(at_s=1.0, rating=4)
    spec = await service.admission.admit(AdmissionRequest(room, CHEF))
    await service.events.add(room, rated)
    again = await service.admission.admit(AdmissionRequest(room, TEACHER))
    kept = [await service.events.so_far(room)]
    await service.admission.admit(AdmissionRequest(room, CHEF, UNNAMED))
    kept += [await service.events.so_far(room)]
    await service.events.add(room, rated)
    await write(service.specs, again.model_copy(update={"ended": True}))
    await service.admission.admit(AdmissionRequest(room, CHEF))
    kept += [await service.events.so_far(room)]

    assert again.session == spec.session
    assert kept == [[rated], [], []]


async def test_a_guests_request_keeps_the_spec(service: Service, redis: Redis, room: str) -> None:
    """A guest's request keeps the room's spec, even before a person has joined."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    guest = Caller("anyone", guest=GuestPass("g", room, standing.session))

    assert await service.admission.admit(AdmissionRequest(room, TEACHER, guest)) == standing


async def test_the_spec_of_a_hosted_room_is_kept(service: Service, redis: Redis, room: str) -> None:
    """A request for a hosted room keeps the room's spec and needs no free slot."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    await beat(redis, slots_free=0, slots_used=6, hosts={room: 0})

    assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == standing


async def test_the_spec_of_an_awaited_host_is_kept(
    service: Service, redis: Redis, room: str
) -> None:
    """Between the dispatch and the host's first heartbeat a request keeps the room's spec."""
    await beat(redis)
    spec = await service.admission.admit(AdmissionRequest(room, CHEF))
    upcoming = await dispatched_to(service.specs, spec, "worker")

    assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == upcoming


async def test_the_spec_of_a_room_with_people_is_kept(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A request for a room with people in it keeps the room's spec."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    async with joined(livekit, person_token(livekit, room)):
        assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == standing


async def test_a_room_that_lost_its_host_needs_a_worker(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """While a room's host is lost and no worker is there, a request for the room is refused."""
    await beat(redis)
    await service.admission.admit(AdmissionRequest(room, CHEF))
    await die(redis)
    async with joined(livekit, person_token(livekit, room)):
        with pytest.raises(Unavailable) as caught:
            await service.admission.admit(AdmissionRequest(room, CHEF))

    assert caught.value.code == "no_worker"


async def test_a_replacing_spec_has_a_new_generation(
    service: Service, redis: Redis, room: str
) -> None:
    """A spec that replaces a dispatched one has a generation that no old host has."""
    await beat(redis)
    spec = await service.admission.admit(AdmissionRequest(room, CHEF))
    upcoming = await dispatched_to(service.specs, spec, "worker")
    await stop_waiting(service.specs, room)
    replaced = await service.admission.admit(AdmissionRequest(room, TEACHER))

    assert (upcoming.generation, replaced.generation) == (1, 2)


@pytest.mark.parametrize(
    "caller", [Caller("key:shop"), ANYONE, UNNAMED], ids=["named", "this machine", "another one"]
)
@pytest.mark.parametrize("kind", ["person", "agent"])
async def test_a_room_that_another_application_uses_is_refused(
    service: Service, redis: Redis, livekit: LiveKit, room: str, caller: Caller, kind: str
) -> None:
    """A room in use without a spec of ours is refused to every caller with `not_yours`."""
    await beat(redis)
    token = person_token(livekit, room)
    if kind == "agent":
        token = agent_token(livekit, room, "somebodys-agent", None)
    async with joined(livekit, token):
        with pytest.raises(Refused) as caught:
            await service.admission.admit(AdmissionRequest(room, CHEF, caller))
        with pytest.raises(Refused) as opening:
            await service.admission.admit(AdmissionRequest(room, CHEF, caller, opener="ann"))

        assert await service.specs.read(room) is None
    assert {caught.value.code, opening.value.code} == {"not_yours"}


async def test_a_room_whose_spec_redis_lost_is_refused_as_busy(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """While redis may have lost a room's spec, a request for the room in use is told to retry."""
    await beat(redis)
    async with joined(livekit, person_token(livekit, room)):
        await redis.flushdb()
        await beat(redis)
        with pytest.raises(Unavailable) as caught:
            await service.admission.admit(AdmissionRequest(room, CHEF))

    assert caught.value.code == "busy"


async def test_an_empty_room_of_another_application_may_be_entered(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A room that exists and is empty, and has no spec, is given to the first request."""
    await beat(redis)
    async with livekit.client() as lkapi:
        await lkapi.room.create_room(api.CreateRoomRequest(name=room))

    assert names(await service.admission.admit(AdmissionRequest(room, CHEF))) == ["chef"]


async def test_many_requests_at_once_make_one_spec(
    service: Service, redis: Redis, room: str
) -> None:
    """Requests for one room at the same time are all answered, and one spec is kept."""
    await beat(redis)
    answers = await asyncio.gather(
        *(service.admission.admit(AdmissionRequest(room, CHEF)) for _ in range(5))
    )

    held = await service.admission.specs.read(room)

    assert [names(answer) for answer in answers] == [["chef"]] * 5
    assert held in answers
