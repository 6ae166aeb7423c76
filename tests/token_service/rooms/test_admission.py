"""When a room's promise stands, when it is replaced, and who is not let in."""

import asyncio
from dataclasses import replace

import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
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
)
from token_service.auth.callers import ANYONE, Caller, GuestPass
from token_service.refusals import Refused, Unavailable
from token_service.rooms.admission import AdmissionRequest
from token_service.service import Service

CHEF = (Persona(name="chef", label="Chef"),)
TEACHER = (Persona(name="teacher", label="Teacher"),)


def names(spec: RoomSpec) -> list[str]:
    """Whom a room was promised."""
    return [persona.name for persona in spec.personas]


async def test_an_uncollected_promise_is_replaced(
    service: Service, redis: Redis, room: str
) -> None:
    """While nobody is there, the last request decides whom the room gets."""
    await beat(redis)
    await service.admission.admit(AdmissionRequest(room, CHEF))

    assert names(await service.admission.admit(AdmissionRequest(room, TEACHER))) == ["teacher"]


async def test_a_guest_decides_for_nobody(service: Service, redis: Redis, room: str) -> None:
    """Also where nobody came for the promise yet, the room gets whom its owner asked for."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    guest = Caller("anyone", guest=GuestPass("g", room, standing.session))

    assert await service.admission.admit(AdmissionRequest(room, TEACHER, guest)) == standing


async def test_a_promise_with_a_host_stands(service: Service, redis: Redis, room: str) -> None:
    """Who comes to a hosted room gets whom it has, and needs no free slot."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    await beat(redis, slots_free=0, slots_used=6, hosts={room: 0})

    assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == standing


async def test_a_promise_whose_host_is_awaited_stands(
    service: Service, redis: Redis, room: str
) -> None:
    """Between the dispatch and the host's first heartbeat nothing is replaced."""
    await beat(redis)
    spec = await service.admission.admit(AdmissionRequest(room, CHEF))
    upcoming = await dispatched_to(service.specs, spec, "worker")

    assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == upcoming


async def test_a_promise_with_people_stands(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Who comes to a room with people in it does not change whom they were promised."""
    await beat(redis)
    standing = await service.admission.admit(AdmissionRequest(room, CHEF))
    async with joined(livekit, person_token(livekit, room)):
        assert await service.admission.admit(AdmissionRequest(room, TEACHER)) == standing


async def test_people_without_a_host_get_no_more_company_than_places(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """While a room's host is lost and nobody could replace it, nobody else is let in."""
    await beat(redis)
    await service.admission.admit(AdmissionRequest(room, CHEF))
    await die(redis)
    async with joined(livekit, person_token(livekit, room)):
        with pytest.raises(Unavailable) as caught:
            await service.admission.admit(AdmissionRequest(room, CHEF))

    assert caught.value.code == "no_worker"


async def test_a_new_promise_outdates_late_hosts_of_the_old(
    service: Service, redis: Redis, room: str
) -> None:
    """A promise that replaces a dispatched one has a generation that no old host has."""
    await beat(redis)
    spec = await service.admission.admit(AdmissionRequest(room, CHEF))
    upcoming = await dispatched_to(service.specs, spec, "worker")
    await stop_waiting(service.specs, room)
    replaced = await service.admission.admit(AdmissionRequest(room, TEACHER))

    assert (upcoming.generation, replaced.generation) == (1, 2)


STRANGER = replace(ANYONE, address="203.0.113.7", is_stranger=True)


@pytest.mark.parametrize(
    "caller", [Caller("key:shop"), ANYONE, STRANGER], ids=["named", "this machine", "a stranger"]
)
@pytest.mark.parametrize("kind", ["person", "agent"])
async def test_a_room_that_another_application_uses_is_its_own(
    service: Service, redis: Redis, livekit: LiveKit, room: str, caller: Caller, kind: str
) -> None:
    """Whoever calls gets into no room in use that we promised nothing, with a name or without.

    Callers without a name once entered such a room, and their session ended it.
    """
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


async def test_a_room_whose_promise_redis_has_just_lost_is_not_another_applications(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Until redis was told again, whoever comes back into the room is asked to wait a moment."""
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
    """A room that was made beforehand and that nobody uses is whoever's comes first."""
    await beat(redis)
    async with livekit.client() as lkapi:
        await lkapi.room.create_room(api.CreateRoomRequest(name=room))

    assert names(await service.admission.admit(AdmissionRequest(room, CHEF))) == ["chef"]


async def test_many_requests_at_once_make_one_promise(
    service: Service, redis: Redis, room: str
) -> None:
    """Requests for one room take turns: each is answered, and one promise holds in the end."""
    await beat(redis)
    answers = await asyncio.gather(
        *(service.admission.admit(AdmissionRequest(room, CHEF)) for _ in range(5))
    )

    held = await service.admission.specs.read(room)

    assert [names(answer) for answer in answers] == [["chef"]] * 5
    assert held in answers
