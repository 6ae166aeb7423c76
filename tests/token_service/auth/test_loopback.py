"""Authentication in the modes `loopback` and `open`, and modes that are combined."""

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.config.addresses import is_loopback
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from tests.token_service.auth.callers import Keys, app, refused
from tests.token_service.players import beat
from token_service.app import create_app


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://localhost:8080"),
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
async def test_this_machine_needs_no_key(
    settings: Settings, redis: Redis, address: str, url: str
) -> None:
    """In `loopback` mode a request to localhost from this machine needs no key."""
    await beat(redis)
    async with app(settings, address, url) as http:
        assert (await http.post("/token")).status_code == 201


@pytest.mark.parametrize(
    ("address", "url", "origin"),
    [
        ("203.0.113.7", "http://localhost:8080", None),
        ("127.0.0.1", "http://evil.example:8080", None),
        ("127.0.0.1", "http://localhost:8080", "https://evil.example"),
        ("127.0.0.1", "http://localhost:8080", "null"),
        ("127.0.0.1", "http://localhost:8080", "http://localhost.evil.example"),
        ("127.0.0.1", "http://localhost:8080", "http://["),
    ],
    ids=["another machine", "a name that points here", "a foreign page", "a file", "alike", "odd"],
)
async def test_other_machines_hosts_and_origins_are_refused(
    settings: Settings, redis: Redis, address: str, url: str, origin: str | None
) -> None:
    """In `loopback` mode a foreign address, host name or origin is refused with 401."""
    await beat(redis)
    async with app(settings, address, url) as http:
        answer = await http.post("/token", headers={"Origin": origin} if origin else {})

    assert refused(answer) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.com", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_names_and_addresses(host: str | None, own: bool) -> None:
    """`is_loopback` knows the names and addresses that mean this machine, without a look-up."""
    assert is_loopback(host) is own


async def test_an_open_service_needs_no_key(settings: Settings, redis: Redis) -> None:
    """In `open` mode a caller without a key opens a session and reads it."""
    await beat(redis)
    async with app(settings.model_copy(update={"auth_mode": ("open",)})) as http:
        session = (await http.post("/sessions")).json()["id"]
        assert (await http.get(f"/sessions/{session}")).status_code == 200


async def test_modes_can_be_combined(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """With `loopback` and `api_keys` together, this machine needs no key and other machines do."""
    both = keyed.model_copy(update={"auth_mode": ("loopback", "api_keys")})
    await beat(redis)
    shop = keys.add("shop")
    async with app(both) as http:
        outside = [await http.post("/token"), await http.post("/token", headers=shop)]
    async with app(both, "127.0.0.1", "http://localhost") as http:
        inside = await http.post("/token")

    assert [answer.status_code for answer in (*outside, inside)] == [401, 201, 201]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"host": "0.0.0.0"}, "AUTH_MODE='loopback' with HOST='0.0.0.0'"),
        ({"auth_mode": ()}, "AUTH_MODE: expected at least one"),
        ({"auth_mode": ("api_keys",)}, "API_KEYS_FILE: expected"),
        ({"auth_mode": ("api_keys",), "api_keys_file": Path("none")}, "API_KEYS_FILE='none': No"),
        ({"auth_mode": ("jwt",)}, "JWT_ISSUER: expected"),
        ({"auth_mode": ("jwt",), "jwt_issuer": "x", "jwt_audience": "y"}, "JWT_JWKS_URL: expected"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    settings: Settings, wrong: dict[str, Any], named: str
) -> None:
    """The service does not start with auth settings that contradict each other or lack a value."""
    with pytest.raises(InvalidInput) as caught:
        create_app(settings.model_copy(update=wrong))

    assert str(caught.value).startswith(named)
