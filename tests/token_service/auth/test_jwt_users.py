"""Authentication by JWT: an operator's own users come with a JWT of their issuer."""

import asyncio
import re
from collections.abc import Generator
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from protocol.config.settings import Settings
from tests.token_service.auth.callers import Issuer, app, bearer, issuing, refused
from tests.token_service.players import beat
from token_service.auth import issuer_keys
from token_service.auth.jwt_users import scopes_of


def stable_id(value: object) -> str:
    """Return a parameter's id that is equal in every process: without addresses, sets in order."""
    if isinstance(value, set):
        return "+".join(sorted(map(str, value))) or "none"
    return re.sub(r" object at 0x[0-9a-f]+", "", str(value))


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    """Run the operator's issuer of JWTs."""
    with issuing() as one:
        yield one


@pytest.fixture
def jwt_settings(settings: Settings, issuer: Issuer) -> Settings:
    """Return the settings of a service that asks for the operator's JWTs."""
    return settings.model_copy(update=issuer.settings())


async def test_a_jwt_without_scopes_gets_a_token(
    jwt_settings: Settings, issuer: Issuer, redis: Redis
) -> None:
    """A user whose JWT names no scopes gets tokens and is refused a list of sessions."""
    await beat(redis)
    async with app(jwt_settings) as http:
        ann = bearer(issuer.token())
        minted = await http.post("/token", headers=ann)
        listed = await http.get("/sessions", headers=ann)

    assert (minted.status_code, refused(listed)) == (201, (403, "scope_missing"))


@pytest.mark.parametrize(
    "scopes", [{"scope": "talk observe"}, {"scp": ["observe", "talk", "email"]}]
)
async def test_a_jwt_names_its_scopes(
    jwt_settings: Settings, issuer: Issuer, redis: Redis, scopes: dict[str, Any]
) -> None:
    """A JWT names its scopes in `scope`, as OAuth does, or in a list; foreign ones are ignored."""
    await beat(redis)
    async with app(jwt_settings) as http:
        ann = bearer(issuer.token(**scopes))
        session = (await http.post("/sessions", headers=ann)).json()["id"]
        seen = await http.get(f"/sessions/{session}", headers=ann)
        ended = await http.delete(f"/sessions/{session}", headers=ann)

    assert (seen.status_code, refused(ended)) == (200, (403, "scope_missing"))


async def test_users_do_not_reach_each_other(
    jwt_settings: Settings, issuer: Issuer, redis: Redis
) -> None:
    """A user gets 404 for another user's session."""
    await beat(redis)
    every = "talk manage observe"
    async with app(jwt_settings) as http:
        ann = bearer(issuer.token(sub="ann", scope=every))
        bob = bearer(issuer.token(sub="bob", scope=every))
        session = (await http.post("/sessions", headers=ann)).json()["id"]
        answer = await http.get(f"/sessions/{session}", headers=bob)

    assert refused(answer) == (404, "session_unknown")


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, {"talk"}),
        ({"scope": "openid profile email"}, {"talk"}),
        ({"scope": ""}, {"talk"}),
        ({"scp": ["email"]}, {"talk"}),
        ({"scope": "openid observe"}, {"observe"}),
        ({"scope": "openid", "scp": ["manage", 7]}, {"manage"}),
        ({"scope": "talk manage observe"}, {"talk", "manage", "observe"}),
        ({"scope": 7}, set()),
    ],
    ids=stable_id,
)
def test_foreign_scopes_are_ignored(claims: dict[str, Any], scopes: set[str]) -> None:
    """A user has those of our scopes that the JWT names, or else `talk`; a wrong type is none."""
    assert {scope.value for scope in scopes_of(claims)} == scopes


async def test_an_openid_connect_token_may_talk(
    jwt_settings: Settings, issuer: Issuer, redis: Redis
) -> None:
    """A user with an OpenID Connect token, whose scopes are all foreign, gets a token."""
    await beat(redis)
    async with app(jwt_settings) as http:
        ann = bearer(issuer.token(scope="openid profile email"))

        assert (await http.post("/token", headers=ann)).status_code == 201


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "another"}, {"reason": "audience", "expected": "moshi-rooms", "found": "another"}),
        (
            {"iss": "https://evil.example"},
            {
                "reason": "issuer",
                "expected": "https://users.example",
                "found": "https://evil.example",
            },
        ),
        ({"exp": 1}, {"reason": "expired"}),
        ({"nbf": 33_000_000_000}, {"reason": "not_yet_valid"}),
        ({"sub": None}, {"reason": "claim_missing"}),
        ({"sub": "x" * 257}, {"reason": "subject"}),
        ({"sub": "ann\ud800"}, {"reason": "subject"}),
        (
            {"key": "x" * 32, "algorithm": "HS256"},
            {"reason": "algorithm"},
        ),
        ({"key": Issuer("").key}, {"reason": "signature"}),
        ({"key_id": "unknown"}, {"reason": "key"}),
    ],
    ids=stable_id,
)
async def test_the_reason_of_a_refused_jwt_is_logged(
    jwt_settings: Settings,
    issuer: Issuer,
    redis: Redis,
    claims: dict[str, Any],
    told: dict[str, str],
) -> None:
    """The log tells why a JWT is refused, and the caller is told `unauthorized` alone."""
    with capture_logs() as logged:
        async with app(jwt_settings) as http:
            answer = await http.post("/token", headers=bearer(issuer.token(**claims)))
    lines = [line for line in logged if line["event"] == "jwt_refused"]

    assert refused(answer) == (401, "unauthorized")
    assert len(lines) == 1
    assert lines[0]["log_level"] == "warning"
    assert told.items() <= lines[0].items()


async def test_a_malformed_jwt_is_refused_and_logged(jwt_settings: Settings, redis: Redis) -> None:
    """A bearer that is no JWT is refused with 401 and logged as `malformed`."""
    with capture_logs() as logged:
        async with app(jwt_settings) as http:
            answer = await http.post("/token", headers=bearer("nonsense"))

    assert refused(answer) == (401, "unauthorized")
    assert [line["reason"] for line in logged if line["event"] == "jwt_refused"] == ["malformed"]


async def test_a_newly_published_key_is_accepted(jwt_settings: Settings, redis: Redis) -> None:
    """A JWT is accepted directly after its issuer changed its key."""
    await beat(redis)
    with issuing() as issuer:
        async with app(jwt_settings.model_copy(update=issuer.settings())) as http:
            before = await http.post("/token", headers=bearer(issuer.token()))
            issuer.rotate()
            after = await http.post("/token", headers=bearer(issuer.token()))

    assert (before.status_code, after.status_code, issuer.asked) == (201, 201, 2)


async def test_a_slow_issuer_delays_no_known_key(
    jwt_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests with unknown keys wait for one fetch, and known keys do not wait."""
    await beat(redis)
    order: list[str] = []
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwt_settings.model_copy(update=issuer.settings())
        async with app(settings) as http:
            assert (await http.post("/token", headers=good)).status_code == 201
            issuer.delay_s = 4.0  # longer than a fetch may take

            async def ask(kind: str, headers: dict[str, str]) -> int:
                answer = await http.post("/token", headers=headers)
                order.append(kind)
                return answer.status_code

            unknown = [bearer(issuer.token(key_id=f"unknown{n}")) for n in range(12)]
            waiting = [asyncio.create_task(ask("unknown", each)) for each in unknown]
            await asyncio.sleep(0.1)
            known = await ask("known", good)
            answers = await asyncio.gather(*waiting)

    assert (known, order[0]) == (201, "known")
    assert set(answers) == {503}
    assert issuer.asked == 2, "the first, and one for all twelve"


async def test_unknown_keys_are_counted_before_the_issuer_is_asked(
    jwt_settings: Settings, redis: Redis
) -> None:
    """After twenty unknown keys in a minute an address gets 429 for them, and known keys pass."""
    await beat(redis)
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwt_settings.model_copy(update=issuer.settings())
        async with app(settings) as http:
            await http.post("/token", headers=good)
            unknown = [bearer(issuer.token(key_id=f"unknown{n}")) for n in range(25)]
            answers = await asyncio.gather(*(http.post("/token", headers=each) for each in unknown))
            after = await http.post("/token", headers=good)

    assert sorted(answer.status_code for answer in answers) == [401] * 20 + [429] * 5
    assert after.status_code == 201
    assert issuer.asked <= 3


async def test_known_keys_are_used_for_a_while_without_their_issuer(
    jwt_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of an unreachable issuer are used until USABLE_S is over, and then refused with 503."""
    await beat(redis)
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwt_settings.model_copy(update=issuer.settings())
        async with app(settings) as http:
            await http.post("/token", headers=good)
            issuer.answer = "<html>Sign in</html>"
            monkeypatch.setattr(issuer_keys, "FRESH_S", 0.0)
            stale = await http.post("/token", headers=good)
            monkeypatch.setattr(issuer_keys, "USABLE_S", 0.0)
            over = await http.post("/token", headers=good)

    assert stale.status_code == 201
    assert refused(over) == (503, "jwks_away")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"sub": ""},
        {"key": "", "algorithm": "none"},
    ],
    ids=stable_id,
)
async def test_an_invalid_jwt_is_refused(
    jwt_settings: Settings, issuer: Issuer, redis: Redis, claims: dict[str, Any]
) -> None:
    """A JWT without an end, a subject or a signature is refused with 401."""
    async with app(jwt_settings) as http:
        answer = await http.post("/token", headers=bearer(issuer.token(**claims)))

    assert refused(answer) == (401, "unauthorized")


async def test_an_unreachable_issuer_is_answered_with_503(
    jwt_settings: Settings, issuer: Issuer, redis: Redis
) -> None:
    """While the issuer's keys cannot be fetched, a valid JWT is refused with 503, not with 401."""
    away = jwt_settings.model_copy(update={"jwt_jwks_url": "http://127.0.0.1:9/jwks.json"})
    async with app(away) as http:
        answer = await http.post("/token", headers=bearer(issuer.token()))

    assert refused(answer) == (503, "jwks_away")


@pytest.mark.parametrize("answer", ["<html>Sign in</html>", '{"keys": []}'])
async def test_an_issuer_that_publishes_no_keys_is_away(
    jwt_settings: Settings, redis: Redis, answer: str
) -> None:
    """An issuer that answers with HTML or an empty list of keys counts as away."""
    with issuing() as issuer:
        issuer.answer = answer
        elsewhere = jwt_settings.model_copy(update={"jwt_jwks_url": issuer.url})
        async with app(elsewhere) as http:
            said = await http.post("/token", headers=bearer(issuer.token()))

    assert refused(said) == (503, "jwks_away")
