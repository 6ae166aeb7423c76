"""Authentication by API key: which paths need a key, which scope, and whose sessions it reaches."""

from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.auth.callers import EVERY_SCOPE, Keys, app, refused
from tests.token_service.players import beat
from token_service.app import create_app
from token_service.auth.callers import Scope

GUARDED = [
    ("POST", "/token"),
    ("POST", "/api/v2/sandbox/connection-details"),
    ("POST", "/sessions"),
    ("GET", "/sessions"),
    ("GET", "/sessions/x"),
    ("DELETE", "/sessions/x"),
    ("POST", "/sessions/x/personas"),
    ("DELETE", "/sessions/x/personas/y"),
    ("POST", "/sessions/x/say"),
    ("POST", "/sessions/x/forget"),
    ("POST", "/sessions/x/move"),
    ("POST", "/sessions/x/mute"),
    ("POST", "/sessions/x/guests"),
    ("DELETE", "/sessions/x/guests/y"),
    ("DELETE", "/sessions/x/tokens/y"),
    ("DELETE", "/sessions/x/people/y"),
    ("GET", "/sessions/x/events"),
    ("POST", "/sessions/x/rating"),
    ("GET", "/recordings"),
    ("GET", "/sessions/x/recordings"),
    ("GET", "/sessions/x/recordings/y"),
    ("DELETE", "/sessions/x/recordings"),
    ("GET", "/status"),
    ("GET", "/metrics"),
]


async def test_every_guarded_path_wants_a_key(keyed: Settings, redis: Redis) -> None:
    """Each guarded path answers a request without a bearer with 401 and `Bearer`."""
    async with app(keyed) as http:
        answers = [await http.request(method, path) for method, path in GUARDED]

    assert {refused(answer) for answer in answers} == {(401, "unauthorized")}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


def test_every_path_is_guarded_or_listed_as_open(settings: Settings) -> None:
    """Every path of the OpenAPI document is in GUARDED or in this test's list of open paths."""
    open_paths = {"/personas", "/voices", "/health", "/ready", "/api/config", "/webhook"}
    document = create_app(settings).openapi()
    described = {path for path in document["paths"] if path not in open_paths}
    guarded = {path.replace("/x", "/{session_id}") for _, path in GUARDED}
    names = ("persona_id", "guest_id", "token_id", "identity", "file")
    guarded = {path.rpartition("/y")[0] or path for path in guarded} - {"/metrics"}

    assert {
        path.rpartition("/{")[0] if path.endswith(tuple(f"{{{n}}}" for n in names)) else path
        for path in described
    } == guarded


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/api/config", "/personas", "/docs"])
async def test_public_paths_need_no_key(keyed: Settings, redis: Redis, path: str) -> None:
    """The page, the documentation, personas and health are answered without a key."""
    async with app(keyed) as http:
        assert (await http.get(path)).status_code in (200, 503)


async def test_a_valid_key_gets_a_token(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """A caller with a valid key gets a token."""
    await beat(redis)
    shop = keys.add("shop")
    async with app(keyed) as http:
        assert (await http.post("/token", headers=shop)).status_code == 201


@pytest.mark.parametrize(
    "bad",
    [
        "mrk_",
        "mrk_x_y",
        "mrk_0000000000000000_",
        "nonsense",
        "",
        "mrg_",
        "a.b.c",
        "mrk_\u00fc_\u00fc",
    ],
)
async def test_a_bad_key_is_refused(keyed: Settings, keys: Keys, redis: Redis, bad: str) -> None:
    """A key that is incomplete, unknown or malformed is refused with 401."""
    keys.add("shop")
    async with app(keyed) as http:
        header = {"Authorization": f"Bearer {bad}".encode()}
        assert refused(await http.post("/token", headers=header)) == (401, "unauthorized")


async def test_a_known_id_with_a_wrong_secret_is_refused(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """A key with a known id and a wrong secret is refused with 401."""
    good = keys.add("shop")["Authorization"]
    async with app(keyed) as http:
        wrong = {"Authorization": good[:-1] + ("A" if good[-1] != "A" else "B")}
        assert refused(await http.post("/token", headers=wrong)) == (401, "unauthorized")


async def test_a_removed_key_is_revoked_at_once(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """A key is refused as soon as the file lacks it, and every key while the file is unreadable."""
    await beat(redis)
    async with app(keyed) as http:
        shop = keys.add("shop")
        statuses = [(await http.post("/token", headers=shop)).status_code]
        keys.path.write_text("")
        statuses.append((await http.post("/token", headers=shop)).status_code)
        shop = keys.add("shop")
        statuses.append((await http.post("/token", headers=shop)).status_code)
        keys.path.write_text("nonsense")
        statuses.append((await http.post("/token", headers=shop)).status_code)

    assert statuses == [201, 401, 201, 401]


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.TALK, "POST", "/token"),
        (Scope.TALK, "POST", "/sessions"),
        (Scope.OBSERVE, "GET", "/sessions"),
        (Scope.OBSERVE, "GET", "/sessions/x/events"),
        (Scope.OBSERVE, "GET", "/status"),
        (Scope.OBSERVE, "GET", "/metrics"),
        (Scope.MANAGE, "DELETE", "/sessions/x"),
        (Scope.MANAGE, "POST", "/sessions/x/mute"),
        (Scope.MANAGE, "POST", "/sessions/x/guests"),
        (Scope.MANAGE, "DELETE", "/sessions/x/tokens/y"),
        (Scope.RECORD, "DELETE", "/sessions/x/recordings"),
    ],
)
async def test_a_key_without_the_scope_is_refused(
    keyed: Settings, keys: Keys, redis: Redis, scope: Scope, method: str, path: str
) -> None:
    """A key without a route's scope is refused with 403, even if it has all other scopes."""
    others = keys.add("shop", *(EVERY_SCOPE - {scope}))
    async with app(keyed) as http:
        answer = await http.request(method, path, headers=others, json={})

    assert refused(answer) == (403, "scope_missing")
    assert scope.value in answer.json()["detail"]


async def test_a_caller_reaches_only_its_own_sessions(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """A caller gets 404 for another caller's session and 403 for a token to its room."""
    await beat(redis)
    shop, bank = keys.add("shop"), keys.add("bank")
    async with app(keyed.model_copy(update={"ratings": True})) as http:
        session = (await http.post("/sessions", headers=shop)).json()
        path = f"/sessions/{session['id']}"
        tries = [
            (method, guarded.replace("/sessions/x", path))
            for method, guarded in GUARDED
            if guarded.startswith("/sessions/x") and "recordings" not in guarded
        ]
        bodies: dict[str, Any] = {
            "say": {"text": "x"},
            "personas": {"personas": ["chef"]},
            "rating": {"rating": 4},
        }
        answers = [
            await http.request(
                method, each, headers=bank, json=bodies.get(each.rpartition("/")[2], {})
            )
            for method, each in tries
        ]
        token = await http.post("/token", headers=bank, json={"room_name": session["room"]})
        again = await http.post("/sessions", headers=bank, json={"room": session["room"]})
        listed = (await http.get("/sessions", headers=bank)).json()
        own = await http.get(path, headers=shop)

    assert {refused(answer) for answer in answers} == {(404, "session_unknown")}
    assert refused(token) == refused(again) == (403, "not_yours")
    assert (listed, own.status_code) == ([], 200)


async def test_a_room_of_a_token_is_its_callers(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """A room that one caller made by `POST /token` is refused to other callers."""
    await beat(redis)
    shop, bank = keys.add("shop"), keys.add("bank")
    async with app(keyed) as http:
        await http.post("/token", headers=shop, json={"room_name": "kitchen"})
        answer = await http.post("/token", headers=bank, json={"room_name": "kitchen"})

    assert refused(answer) == (403, "not_yours")


async def test_callers_without_a_name_get_no_list(settings: Settings, redis: Redis) -> None:
    """In `open` mode `GET /sessions` needs a room, and lists that room's sessions."""
    await beat(redis)
    async with app(settings.model_copy(update={"auth_mode": ("open",)})) as http:
        session = (await http.post("/sessions", json={})).json()
        everybodys = await http.get("/sessions")
        asked = await http.get("/sessions", params={"room": session["room"]})
        others = await http.get("/sessions", params={"room": "kitchen"})

    assert refused(everybodys) == (403, "not_listed")
    assert [each["id"] for each in asked.json()] == [session["id"]]
    assert others.json() == []


async def test_two_keys_of_one_name_are_one_caller(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """Two keys of one name are one caller: the new key reaches the old key's session."""
    await beat(redis)
    old = keys.add("shop")
    async with app(keyed) as http:
        session = (await http.post("/sessions", headers=old)).json()
        new = keys.add("shop")
        answer = await http.get(f"/sessions/{session['id']}", headers=new)

    assert answer.status_code == 200
