"""The operator's own users: JWTs of one issuer, for one audience, by the keys that it publishes.

Fetching keys blocks, so it runs in a thread; the client keeps them and asks again for unknown ones
at most each 30 s (pyjwt 2.15.1 `PyJWKClient`).
"""

import asyncio
from typing import Any

import jwt
import structlog

from protocol.errors import InvalidInput
from protocol.settings import Settings
from token_service.callers import Caller, Scope
from token_service.problems import Unavailable

log = structlog.stdlib.get_logger(__name__)

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
FETCH_TIMEOUT_S = 3.0
LEEWAY_S = 10
SUBJECT_LIMIT = 256
UNSAID = frozenset({Scope.TALK})  # what a user may do whose JWT names no scope


class Users:
    """Checks JWTs."""

    def __init__(self, settings: Settings) -> None:
        """Fetch nothing yet. Raises `InvalidInput` where a setting is missing."""
        for name in ("jwt_issuer", "jwt_audience", "jwt_jwks_url"):
            if getattr(settings, name) is None:
                raise InvalidInput(f"{name.upper()}: expected with AUTH_MODE=jwt")
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._keys = jwt.PyJWKClient(str(settings.jwt_jwks_url), timeout=FETCH_TIMEOUT_S)

    async def caller(self, token: str) -> Caller | None:
        """Who this is; `None` for a JWT that is not good. Raises `Unavailable` without keys."""
        try:
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, ValueError) as error:
            # ValueError: an answer that is no JSON (pyjwt 2.15.1 hands on `json`'s own)
            log.warning("jwks_away", kind=type(error.__cause__ or error).__name__)
            raise Unavailable("jwks_away", "The issuer's keys cannot be fetched.", 5) from error
        except jwt.PyJWTError:
            return None
        return _of_claims(claims)


def _of_claims(claims: dict[str, Any]) -> Caller | None:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_LIMIT:
        return None
    return Caller(f"user:{subject}", scopes_of(claims))


def scopes_of(claims: dict[str, Any]) -> frozenset[Scope]:
    """Our scopes among those that a JWT names, in `scope` or `scp`; `talk` where it names none."""
    named: object = claims.get("scope", claims.get("scp"))
    if named is None:
        return UNSAID
    parts = named.split() if isinstance(named, str) else named
    if not isinstance(parts, list):
        return frozenset()
    return frozenset(scope for scope in Scope if scope.value in parts)
