"""LiveKit and redis, as our processes reach them. Asks the real servers, with timeouts."""

import time
from typing import Any

import httpx
import redis

from deploy.advisories import faults_of, parsed
from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.doctor.proxies import asked
from deploy.doctor.upgrade import as_worker
from protocol.config.addresses import without_password
from protocol.config.livekit_trouble import (
    TokenRefusal,
    clock_ahead_s,
    clock_difference,
    proxy_hint,
)
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.redis.memory import ADVICE, forgetting

WITHIN_S = 3.0
CLOCK_S = 10.0  # tokens and room specs have times; LiveKit refuses after a minute
SET_CLOCKS = "synchronize the clocks of both machines (timedatectl set-ntp true)"
GREETING = "OK"  # livekit-server 1.13 to GET /
FIND_REDIS = "start it, or set REDIS_URL=…; room specs and heartbeats are kept there"


def redis_server(settings: Settings) -> Finding:
    """Check that redis answers, accepts our password and never evicts keys."""
    where = without_password(settings.redis_url)
    client = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=WITHIN_S, socket_timeout=WITHIN_S
    )
    try:
        with client:
            server = client.info("server")
            forgets = forgetting(client.info("memory"))
            client.delete("moshi:nothing")
    except redis.ReadOnlyError:
        found = f"redis at {where} is a replica, which takes no writes"
        return fail("redis.read_only", found, "set REDIS_URL to its primary")
    except (redis.AuthenticationError, redis.ResponseError) as error:
        advice = "set user and password in REDIS_URL=redis://user:password@host:port/0"
        return fail("redis.refused", f"redis at {where} refuses our connection: {error}", advice)
    except (redis.RedisError, OSError, ValueError) as error:
        found = f"redis at {where} does not answer: {type(error).__name__}"
        return fail("redis.away", found, FIND_REDIS)
    if forgets is not None:
        return fail("redis.forgets", f"at {where}, {forgets}", ADVICE)
    return of_version(server, where)


def of_version(server: dict[str, Any], where: str) -> Finding:
    """Judge a redis or valkey by its version; `server` is that section of INFO."""
    name = server.get("server_name", "redis")
    version = server[f"{name}_version"]
    found = f"{name} {version} at {where}"
    if server.get("redis_mode") == "cluster":
        return fail("redis.cluster", f"{found} is a cluster", "set REDIS_URL to a single one")
    if faults := faults_of(f"{name}-server", parsed(version)):
        known = "; ".join(f"{each.what} ({each.id})" for each in faults)
        return warn(
            "redis.faults",
            f"{found} has known faults: {known}",
            "install a newer one, unless your distribution fixed this one",
        )
    return ok("redis.ok", found)


def livekit(settings: Settings) -> Finding:
    """Check that LiveKit answers, knows our key and opens a WebSocket for a worker."""
    where = settings.livekit_url
    try:
        answer = asked(where, timeout=WITHIN_S)
    except (httpx.HTTPError, OSError) as error:
        return _away(where, f"does not answer: {type(error).__name__}{proxy_hint(where)}")
    if answer.text != GREETING:
        return _no_livekit(where, f"it answers with {answer.status_code}{proxy_hint(where)}")
    ahead = clock_ahead_s(answer.headers, time.time())
    secret = reveal(settings, "livekit_api_secret", "doctor")
    refusal = as_worker(where, settings.livekit_api_key, secret)
    if refusal is not None:
        return _refused(where, refusal)
    found = f"LiveKit at {where} knows our key and opens a WebSocket"
    if ahead is not None and abs(ahead) > CLOCK_S:
        found = f"{found}, but {clock_difference(ahead)} LiveKit's"
        return warn("livekit.clock_differs", found, SET_CLOCKS)
    return ok("livekit.ok", found)


def _refused(where: str, refusal: TokenRefusal) -> Finding:
    match refusal.kind:
        case "key" | "secret":
            advice = "give both the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
            return fail("livekit.wrong_key", refusal.sentence, advice)
        case "clock":
            return fail("livekit.clock", refusal.sentence, SET_CLOCKS)
        case "away":
            return _away(where, "answers HTTP but opens no WebSocket")
        case "other":
            advice = "have the server in between pass WebSockets on; or set LIVEKIT_URL=…"
            return fail("livekit.no_upgrade", refusal.sentence, advice)


def _away(where: str, how: str) -> Finding:
    return fail("livekit.away", f"LiveKit at {where} {how}", "start it, or set LIVEKIT_URL=…")


def _no_livekit(where: str, said: str) -> Finding:
    found = f"the server at {where} is not LiveKit: {said}"
    return fail("livekit.other", found, "LIVEKIT_URL=… names the right port")
