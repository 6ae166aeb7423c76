"""Strangers stay out: the operator's own users come with a JWT of their issuer."""

from collections.abc import Generator
from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.settings import Settings
from tests.token_service.players import beat
from tests.token_service.strangers import Issuer, app, bearer, issuing, refused


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
    ids=str,
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
