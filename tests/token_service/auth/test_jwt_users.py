"""Strangers stay out: the operator's own users come with a JWT of their issuer."""

import asyncio
import re
from collections.abc import Generator
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from protocol.config.settings import Settings
from tests.token_service.auth.strangers import Issuer, app, bearer, issuing, refused
from tests.token_service.players import beat
from token_service.auth import issuer_keys
from token_service.auth.jwt_users import scopes_of


def stable_id(value: object) -> str:
    """Name a parameter alike in every process: without addresses, sets in order."""
    if isinstance(value, set):
        return "+".join(sorted(map(str, value))) or "none"
    return re.sub(r" object at 0x[0-9a-f]+", "", str(value))


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    """The operator's issuer of JWTs."""
    with issuing() as one:
        yield one


@pytest.fixture
def jwted(settings: Settings, issuer: Issuer) -> Settings:
    """Settings of a service that wants the operator's JWTs."""
    return settings.model_copy(update=issuer.settings())


async def test_a_users_jwt_opens(jwted: Settings, issuer: Issuer, redis: Redis) -> None:
    """A JWT without scopes may talk, and see nothing."""
    await beat(redis)
    async with app(jwted) as http:
        ann = bearer(issuer.token())
        minted = await http.post("/token", headers=ann)
        listed = await http.get("/sessions", headers=ann)

    assert (minted.status_code, refused(listed)) == (201, (403, "scope_missing"))


@pytest.mark.parametrize(
    "scopes", [{"scope": "talk observe"}, {"scp": ["observe", "talk", "email"]}]
)
async def test_a_jwt_names_its_scopes(
    jwted: Settings, issuer: Issuer, redis: Redis, scopes: dict[str, Any]
) -> None:
    """In `scope` as OAuth writes it, or in a list; those of others are passed over."""
    await beat(redis)
    async with app(jwted) as http:
        ann = bearer(issuer.token(**scopes))
        session = (await http.post("/sessions", headers=ann)).json()["id"]
        seen = await http.get(f"/sessions/{session}", headers=ann)
        ended = await http.delete(f"/sessions/{session}", headers=ann)

    assert (seen.status_code, refused(ended)) == (200, (403, "scope_missing"))


async def test_users_do_not_reach_each_other(jwted: Settings, issuer: Issuer, redis: Redis) -> None:
    """Each subject is a caller of its own."""
    await beat(redis)
    every = "talk manage observe"
    async with app(jwted) as http:
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
def test_scopes_of_others_say_nothing_of_ours(claims: dict[str, Any], scopes: set[str]) -> None:
    """`talk` is what a user has whose JWT names none of ours, as OpenID Connect's do."""
    assert {scope.value for scope in scopes_of(claims)} == scopes


async def test_an_openid_connect_token_may_talk(
    jwted: Settings, issuer: Issuer, redis: Redis
) -> None:
    """As an identity provider gives it by default."""
    await beat(redis)
    async with app(jwted) as http:
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
        (
            {"key": "x" * 32, "algorithm": "HS256"},
            {"reason": "algorithm"},
        ),
        ({"key": Issuer("").key}, {"reason": "signature"}),
        ({"key_id": "unknown"}, {"reason": "key"}),
    ],
    ids=stable_id,
)
async def test_why_a_jwt_is_refused_is_logged(
    jwted: Settings, issuer: Issuer, redis: Redis, claims: dict[str, Any], told: dict[str, str]
) -> None:
    """The operator learns audience, issuer, expiry and the rest; the caller learns nothing."""
    with capture_logs() as logged:
        async with app(jwted) as http:
            answer = await http.post("/token", headers=bearer(issuer.token(**claims)))
    lines = [line for line in logged if line["event"] == "jwt_refused"]

    assert refused(answer) == (401, "unauthorized")
    assert len(lines) == 1
    assert lines[0]["log_level"] == "warning"
    assert told.items() <= lines[0].items()


async def test_what_is_no_jwt_is_refused_and_logged(jwted: Settings, redis: Redis) -> None:
    """Neither is the issuer asked for it."""
    with capture_logs() as logged:
        async with app(jwted) as http:
            answer = await http.post("/token", headers=bearer("nonsense"))

    assert refused(answer) == (401, "unauthorized")
    assert [line["reason"] for line in logged if line["event"] == "jwt_refused"] == ["malformed"]


async def test_a_key_that_was_just_published_is_good(jwted: Settings, redis: Redis) -> None:
    """An issuer that changes its key does not wait for us, however recently we asked."""
    await beat(redis)
    with issuing() as issuer:
        async with app(jwted.model_copy(update=issuer.settings())) as http:
            before = await http.post("/token", headers=bearer(issuer.token()))
            issuer.rotate()
            after = await http.post("/token", headers=bearer(issuer.token()))

    assert (before.status_code, after.status_code, issuer.asked) == (201, 201, 2)


async def test_a_slow_issuer_delays_nobody_whose_key_is_held(
    jwted: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown keys wait for one request together, which has an end; known ones go past them."""
    await beat(redis)
    order: list[str] = []
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwted.model_copy(update=issuer.settings())
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
    jwted: Settings, redis: Redis
) -> None:
    """After twenty in a minute an address gets no more questions asked; good tokens are let in."""
    await beat(redis)
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwted.model_copy(update=issuer.settings())
        async with app(settings) as http:
            await http.post("/token", headers=good)
            unknown = [bearer(issuer.token(key_id=f"unknown{n}")) for n in range(25)]
            answers = await asyncio.gather(*(http.post("/token", headers=each) for each in unknown))
            after = await http.post("/token", headers=good)

    assert sorted(answer.status_code for answer in answers) == [401] * 20 + [429] * 5
    assert after.status_code == 201
    assert issuer.asked <= 3


async def test_an_issuer_that_went_away_shuts_nobody_out_whose_key_is_held(
    jwted: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that are no longer fresh are used while they are fetched anew, for a while."""
    await beat(redis)
    with issuing() as issuer:
        good, settings = bearer(issuer.token()), jwted.model_copy(update=issuer.settings())
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
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 257},
        {"nbf": 33_000_000_000},
        {"key": "a secret that was made up, of at least 32 bytes", "algorithm": "HS256"},
        {"key": "", "algorithm": "none"},
    ],
    ids=stable_id,
)
async def test_a_jwt_that_is_not_good_opens_nothing(
    jwted: Settings, issuer: Issuer, redis: Redis, claims: dict[str, Any]
) -> None:
    """Another issuer or audience, over, without end or subject, or signed by somebody else."""
    async with app(jwted) as http:
        answer = await http.post("/token", headers=bearer(issuer.token(**claims)))

    assert refused(answer) == (401, "unauthorized")


async def test_another_issuers_signature_opens_nothing(
    jwted: Settings, issuer: Issuer, redis: Redis
) -> None:
    """The right claims under a key that the issuer does not publish."""
    async with app(jwted) as http:
        forged = Issuer("").token()
        assert refused(await http.post("/token", headers=bearer(forged))) == (401, "unauthorized")


async def test_an_issuer_that_is_away_is_said(
    jwted: Settings, issuer: Issuer, redis: Redis
) -> None:
    """Who cannot be checked is told to come back, not that the JWT is bad."""
    away = jwted.model_copy(update={"jwt_jwks_url": "http://127.0.0.1:9/jwks.json"})
    async with app(away) as http:
        answer = await http.post("/token", headers=bearer(issuer.token()))

    assert refused(answer) == (503, "jwks_away")


@pytest.mark.parametrize("answer", ["<html>Sign in</html>", '{"keys": []}'])
async def test_an_issuer_that_publishes_no_keys_is_away(
    jwted: Settings, redis: Redis, answer: str
) -> None:
    """A page of a proxy, or an empty list: good users are not told that their JWTs are bad."""
    with issuing() as issuer:
        issuer.answer = answer
        elsewhere = jwted.model_copy(update={"jwt_jwks_url": issuer.url})
        async with app(elsewhere) as http:
            said = await http.post("/token", headers=bearer(issuer.token()))

    assert refused(said) == (503, "jwks_away")
