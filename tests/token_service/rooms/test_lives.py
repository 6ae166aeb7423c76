"""For how long redis keeps a room to which nobody has come yet: as long as anything leads there."""

import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from protocol.room_spec import spec_key
from tests.token_service.auth.callers import Keys, app
from tests.token_service.players import beat
from token_service.auth.rate_limit import KEY_PREFIX
from token_service.rooms.store import OWNED_KEY, SESSION_KEY

DAY_S = 86_400
HERE = {"address": "127.0.0.1", "url": "http://localhost"}


async def opened(http: httpx.AsyncClient) -> tuple[str, tuple[str, str]]:
    """Open a session; return its path, and the keys by which it is found."""
    said = (await http.post("/sessions", json={})).json()
    keys = (spec_key(said["room"]), SESSION_KEY.format(id=said["id"]))
    return f"/sessions/{said['id']}", keys


async def invite(http: httpx.AsyncClient, path: str, lives_s: int) -> dict[str, str]:
    """Sign a guest link; return the header with its bearer."""
    answer = await http.post(f"{path}/guests", json={"lives_s": lives_s})
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['bearer']}"}


async def test_a_session_is_kept_until_its_last_guest_link_ends(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """A session that is over is kept no longer than others; neither use nor tokens shorten it."""
    await beat(redis)
    async with app(keyed) as http:
        http.headers.update(keys.add("shop"))
        path, found = await opened(http)
        guest = await invite(http, path, DAY_S)
        await invite(http, path, 60)
        lives_s = [await redis.ttl(key) for key in found]
        token = await http.post("/token", headers=guest)
        lives_s += [await redis.ttl(key) for key in found]
        await http.delete(path)

    assert min(lives_s) > DAY_S - 100, lives_s
    assert token.status_code == 201
    assert await redis.ttl(found[0]) <= keyed.promise_ttl_s


async def test_a_list_is_kept_for_as_long_as_its_sessions(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """A session that waits for its guests is listed until then, also after another was opened."""
    await beat(redis)
    async with app(keyed) as http:
        http.headers.update(keys.add("shop"))
        path, found = await opened(http)
        await invite(http, path, DAY_S)
        await opened(http)

    assert await redis.ttl(OWNED_KEY.format(owner="key:shop")) >= await redis.ttl(found[0])


async def test_a_session_that_is_kept_for_a_day_takes_more_of_its_callers_share(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """A caller's sessions count by their bytes and hours: no caller fills redis for a day."""

    async def written() -> int:
        names = [name async for name in redis.scan_iter(f"*{KEY_PREFIX}*written*")]
        return sum([int(await redis.get(name) or 0) for name in names])

    await beat(redis)
    async with app(keyed) as http:
        http.headers.update(keys.add("shop"))
        path, _ = await opened(http)
        before = await written()
        await invite(http, path, DAY_S)
        once = await written()
        await invite(http, path, DAY_S)

    assert once >= 20 * before
    assert await written() < once + before


async def test_a_strangers_link_keeps_no_session(settings: Settings, redis: Redis) -> None:
    """Any number of strangers may come, so what they open is forgotten with its token."""
    await beat(redis)
    async with app(settings.model_copy(update={"auth_mode": ("open",)})) as http:
        path, found = await opened(http)
        await invite(http, path, DAY_S)

    assert await redis.ttl(found[0]) <= settings.token_ttl_s + 60


@pytest.mark.parametrize("path", ["/token", "/sessions"])
async def test_a_room_is_kept_for_as_long_as_its_tokens(
    settings: Settings, redis: Redis, path: str
) -> None:
    """A token that is used late leads to its personas, and into no other caller's room."""
    await beat(redis)
    late = settings.model_copy(update={"token_ttl_s": 7200, "promise_ttl_s": 60})
    async with app(late, **HERE) as http:
        said = (await http.post(path, json={})).json()

    assert await redis.ttl(spec_key(said.get("room_name") or said["room"])) >= 7200
