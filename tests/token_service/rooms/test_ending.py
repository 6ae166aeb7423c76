"""The end of sessions and the revocation of tokens: an old token joins no room."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from harness.servers import LiveKit
from protocol.room_spec import RoomSpec
from tests.token_service.players import (
    are_alone,
    beat,
    eventually,
    identities,
    joined,
    look,
    opened,
    person_token,
    spec_of,
)
from token_service.rooms.admission import AdmissionRequest, RoomAdmission
from token_service.rooms.events import EventStore
from token_service.rooms.issued_tokens import FORGETS_EACH, REVOKED, TOKENS_KEY


async def test_a_session_ends_for_everyone(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Ending a session empties its room and frees its slots, and may be repeated."""
    await beat(redis, slots_free=1, slots_used=5)
    said = await opened(http, room=room)
    path = f"/sessions/{said['id']}"
    async with joined(livekit, said["participant_token"]):
        answers = await asyncio.gather(http.delete(path), http.delete(path))
        answers.append(await http.delete(path))
        await eventually(lambda: are_alone(livekit, room), "the room is empty")
    session = await look(http, said["id"])

    assert [answer.status_code for answer in answers] == [204] * 3
    assert (session["state"], (await spec_of(redis, room)).ended) == ("ended", True)
    assert (await http.post("/sessions")).status_code == 201


async def test_an_ended_sessions_token_is_revoked(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A person who joins with an ended session's token is removed, in a later session too."""
    await beat(redis)
    said = await opened(http, room=room, identity="ann")
    await http.delete(f"/sessions/{said['id']}")
    again = await opened(http, room=room, identity="bob")
    async with (
        joined(livekit, again["participant_token"]),
        joined(livekit, said["participant_token"]),
    ):
        await eventually(lambda: are_alone(livekit, room, "bob"), "ann is removed")

    assert again["id"] != said["id"]


async def test_a_room_in_use_forgets_old_tokens(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """Of a room's many tokens those signed days ago are forgotten, but no revoked one."""
    await beat(redis)
    key = TOKENS_KEY.format(room=room)
    old = {f"{number:024x}": "ann" for number in range(FORGETS_EACH - 3)}
    kept = {f"{REVOKED}{0:024x}": "", "of-an-older-version": "bob"}
    await redis.hset(key, mapping=dict[Any, Any](old | kept))
    said = await opened(http, room=room)

    assert set(await redis.hkeys(key)) == {*kept, said["token_id"]}


@pytest.mark.parametrize("own", [True, False], ids=["by our token", "by a token of another's"])
async def test_a_person_is_removed_though_redis_lost_the_tokens(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str, own: bool
) -> None:
    """A person is removed without a record of the token in redis, and our token stays revoked."""
    await beat(redis)
    said = await opened(http, room=room, identity="ann")
    token = said["participant_token"] if own else person_token(livekit, room, "ann")

    async def removed() -> bool:
        return "ann" not in await identities(livekit, room)

    async with joined(livekit, token):
        await redis.delete(TOKENS_KEY.format(room=room))
        answer = await http.delete(f"/sessions/{said['id']}/people/ann")
        await eventually(removed, "ann is removed")
    if own:
        async with joined(livekit, token):
            await eventually(removed, "ann is removed again")

    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("people/bob", "person_unknown"),
        ("tokens/not%20one", "token_unknown"),
        ("tokens/" + 1000 * "a", "token_unknown"),
        ("guests/mrg_x", "guest_unknown"),
    ],
)
async def test_what_cannot_be_there_is_not_found(
    http: httpx.AsyncClient, redis: Redis, path: str, error: str
) -> None:
    """Whom or what a session cannot have is answered with 404, and nothing of it is kept."""
    await beat(redis)
    said = await opened(http, identity="ann")
    kept = TOKENS_KEY.format(room=said["room"])
    before: Any = await redis.hgetall(kept)
    answer = await http.delete(f"/sessions/{said['id']}/{path}")
    after: Any = await redis.hgetall(kept)

    assert (answer.status_code, answer.json()["error"]) == (404, error)
    assert after == before


@pytest.mark.parametrize("path", ["people/ann", "tokens/{token_id}", "tokens/5e55", "guests/5e55"])
async def test_a_removal_may_be_repeated(http: httpx.AsyncClient, redis: Redis, path: str) -> None:
    """Who has a token and is not there (any more), and what may have been lost, is answered 204."""
    await beat(redis)
    said = await opened(http, identity="ann")
    at = f"/sessions/{said['id']}/{path.format(**said)}"
    answers = [await http.delete(at) for _ in range(2)]

    assert [each.status_code for each in answers] == [204, 204]


async def test_a_session_ends_though_redis_lost_the_tokens(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A token used before a session's end is revoked by it, even if redis lost the record."""
    await beat(redis)
    said = await opened(http, room=room, identity="ann")
    async with joined(livekit, said["participant_token"]):
        await redis.delete(TOKENS_KEY.format(room=room))
        await http.delete(f"/sessions/{said['id']}")
    again = await opened(http, room=room, identity="bob")
    async with (
        joined(livekit, again["participant_token"]),
        joined(livekit, said["participant_token"]),
    ):
        await eventually(lambda: are_alone(livekit, room, "bob"), "ann is removed")


async def test_an_end_that_redis_broke_off_is_finished_when_it_is_repeated(
    http: httpx.AsyncClient, redis: Redis, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated end revokes the tokens and tells the end, if the first was broken off before."""
    await beat(redis)
    said = await opened(http, room=room)
    path = f"/sessions/{said['id']}"

    async def away(*_: object) -> None:
        raise RedisConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(EventStore, "add", away)
        broken = await http.delete(path)
    repeated = [await http.delete(path) for _ in range(2)]
    known = await redis.hkeys(TOKENS_KEY.format(room=room))
    events = [each.type for each in await EventStore(redis).so_far(room)]

    assert [broken.status_code, *(each.status_code for each in repeated)] == [503, 204, 204]
    assert REVOKED + said["token_id"] in known
    assert events == ["ended"]


async def test_a_token_made_while_the_session_ends_is_refused(
    http: httpx.AsyncClient, redis: Redis, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token request that is admitted before a session's end and answered after it is refused."""
    await beat(redis)
    said = await opened(http, room=room)
    admit = RoomAdmission.admit

    async def ended_meanwhile(self: RoomAdmission, request: AdmissionRequest) -> RoomSpec:
        spec = await admit(self, request)
        assert (await http.delete(f"/sessions/{said['id']}")).status_code == 204
        return spec

    monkeypatch.setattr(RoomAdmission, "admit", ended_meanwhile)
    answer = await http.post("/token", json={"room_name": room, "participant_identity": "bob"})
    known = set(await redis.hkeys(TOKENS_KEY.format(room=room)))
    tokens = {each for each in known if not each.startswith(REVOKED)}

    assert (answer.status_code, answer.json()["error"]) == (403, "session_ended")
    assert {REVOKED + each for each in tokens} <= known


@pytest.mark.parametrize(
    ("by", "identity"), [("tokens", "ann"), ("people", "ann"), ("people", "ann/her phone")]
)
async def test_a_token_can_be_revoked(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str, by: str, identity: str
) -> None:
    """Revoking a token, or a person's tokens, removes the person now and at each return."""
    await beat(redis)
    said = await opened(http, room=room, identity=identity)
    of = said["token_id"] if by == "tokens" else identity

    async def removed() -> bool:
        return identity not in await identities(livekit, room)

    async with joined(livekit, said["participant_token"]):
        answer = await http.delete(f"/sessions/{said['id']}/{by}/{quote(of, safe='')}")
        await eventually(removed, "ann is removed")
    async with joined(livekit, said["participant_token"]):
        await eventually(removed, "ann is removed again")

    assert answer.status_code == 204
