"""LiveKit and redis, as our own processes reach them. Asks the real servers; waits for seconds."""

import asyncio

import httpx
import redis
from livekit import api

from deploy.doctor.finding import Finding, fail, ok
from protocol.addresses import without_password
from protocol.secret import reveal
from protocol.settings import Settings

WITHIN_S = 3.0
GREETING = "OK"  # livekit-server 1.13 to GET /
FIND_REDIS = "start it, or REDIS_URL=…; promises, heartbeats and free places are told through it"


def redis_server(settings: Settings) -> Finding:
    """Whether redis answers, and takes our password."""
    where = without_password(settings.redis_url)
    client = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=WITHIN_S, socket_timeout=WITHIN_S
    )
    try:
        with client:
            version = client.info("server")["redis_version"]
    except (redis.AuthenticationError, redis.ResponseError) as error:
        advice = "set user and password in REDIS_URL=redis://user:password@host:port/0"
        return fail("redis.refused", f"redis at {where} refuses us: {error}", advice)
    except (redis.RedisError, OSError, ValueError) as error:
        found = f"redis at {where} does not answer: {type(error).__name__}"
        return fail("redis.away", found, FIND_REDIS)
    return ok("redis.ok", f"redis {version} at {where}")


def livekit(settings: Settings) -> Finding:
    """Whether LiveKit answers, is LiveKit, and knows our key."""
    where = settings.livekit_url
    try:
        answer = httpx.get(http_of(where), timeout=WITHIN_S, trust_env=False)
    except (httpx.HTTPError, OSError) as error:
        return _away(where, error)
    if answer.text != GREETING:
        return _no_livekit(where, f"it answers with {answer.status_code}")
    return asyncio.run(_with_key(settings))


async def _with_key(settings: Settings) -> Finding:
    where, key = settings.livekit_url, settings.livekit_api_key
    secret = reveal(settings, "livekit_api_secret", "doctor")
    async with api.LiveKitAPI(where, key, secret, failover=False) as livekit:
        try:
            async with asyncio.timeout(WITHIN_S):  # the client's own has no effect (`rooms.py`)
                rooms = await livekit.room.list_rooms(api.ListRoomsRequest())
        except TimeoutError as error:
            return _away(where, error)
        except api.TwirpError as error:
            if error.status == httpx.codes.UNAUTHORIZED.value:
                advice = "give both the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
                found = f"LiveKit at {where} does not know the key {key!r}, or has another secret"
                return fail("livekit.wrong_key", found, advice)
            return _no_livekit(where, error.message)
    return ok("livekit.ok", f"LiveKit at {where} knows our key; {len(rooms.rooms)} rooms")


def _away(where: str, error: Exception) -> Finding:
    found = f"LiveKit at {where} does not answer: {type(error).__name__}"
    return fail("livekit.away", found, "start it, or LIVEKIT_URL=…")


def _no_livekit(where: str, said: str) -> Finding:
    found = f"what answers at {where} is no LiveKit: {said}"
    return fail("livekit.other", found, "LIVEKIT_URL=… names the right port")


def http_of(url: str) -> str:
    """The http address of a ws one."""
    return url.replace("ws", "http", 1) if url.startswith("ws") else url
