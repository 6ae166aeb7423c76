"""The operator's own users: JWTs of one issuer, for one audience, by the keys that it publishes."""

import time
from typing import Any

import jwt
import structlog

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from token_service.auth.callers import Caller, Scope
from token_service.auth.issuer_keys import IssuerKeys

log = structlog.stdlib.get_logger(__name__)

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
LEEWAY_S = 10
SUBJECT_LIMIT = 256
SHOWN_CHARACTERS = 200  # of a claim, in the log
UNSAID = frozenset({Scope.TALK})  # what a user may do whose JWT names no scope of ours
REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidIssuerError: "issuer",
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not_yet_valid",
    jwt.InvalidIssuedAtError: "not_yet_valid",
    jwt.MissingRequiredClaimError: "claim_missing",
    jwt.exceptions.InvalidSubjectError: "subject",
    jwt.InvalidAlgorithmError: "algorithm",
    jwt.InvalidSignatureError: "signature",
}


class UnknownKey(Exception):
    """A JWT names a key that is not held: the issuer has to be asked, which takes time."""

    def __init__(self, users: "JwtUsers") -> None:
        super().__init__()
        self.users = users


class JwtUsers:
    """Checks JWTs."""

    def __init__(self, settings: Settings) -> None:
        """Fetch nothing yet. Raises `InvalidInput` where a setting is missing."""
        for name in ("jwt_issuer", "jwt_audience", "jwt_jwks_url"):
            if getattr(settings, name) is None:
                raise InvalidInput(f"{name.upper()}: expected with AUTH_MODE=jwt")
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._keys = IssuerKeys(str(settings.jwt_jwks_url))

    @property
    def has_keys(self) -> bool:
        """Whether the issuer has been asked, so that an unknown key is one out of turn."""
        return self._keys.are_held

    async def caller(self, token: str) -> Caller | None:
        """Give the user by the keys that are held; `None` for a JWT that is not good.

        Raises `UnknownKey`.
        """
        key_id = _key_id(token)
        key = self._keys.held(key_id)
        if key is None and key_id is not None:
            raise UnknownKey(self)
        return self._checked(token, key)

    async def new_caller(self, token: str) -> Caller | None:
        """Ask the issuer for the key first. Raises `Unavailable` where it does not say."""
        return self._checked(token, await self._keys.asked_for(_key_id(token)))

    async def close(self) -> None:
        """Ask no more."""
        await self._keys.close()

    def _checked(self, token: str, key: jwt.PyJWK | None) -> Caller | None:
        if key is None:
            reason = "malformed" if _key_id(token) is None else "key"
            log.warning("jwt_refused", reason=reason, expected="a JWT with a key of the issuer")
            return None
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            self._tell(token, error)
            return None
        return _of_claims(claims)

    def _tell(self, token: str, error: jwt.PyJWTError) -> None:
        """Log why a JWT is refused. Its claims are shown only where its signature was good."""
        reason = next((name for kind, name in REASONS.items() if type(error) is kind), "malformed")
        about: dict[str, str] = {}
        if reason in ("audience", "issuer", "expired", "not_yet_valid"):
            claims = jwt.decode(token, options={"verify_signature": False})
            about = _about(reason, claims, self._audience, self._issuer)
        elif reason == "claim_missing":
            about = {"detail": str(error)}
        log.warning("jwt_refused", reason=reason, **about)


def _about(
    reason: str, claims: dict[str, Any], audience: str | None, issuer: str | None
) -> dict[str, str]:
    if reason == "audience":
        return {"expected": str(audience), "found": f"{claims.get('aud')}"[:SHOWN_CHARACTERS]}
    if reason == "issuer":
        return {"expected": str(issuer), "found": f"{claims.get('iss')}"[:SHOWN_CHARACTERS]}
    times = {name: claims.get(name) for name in ("iat", "nbf", "exp")}
    return {"found": f"{times}"[:SHOWN_CHARACTERS], "now": f"{time.time():.0f}"}


def _key_id(token: str) -> str | None:
    """Give the id of the key that a JWT names; `None` where it names none, or is no JWT."""
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        return None
    return found if isinstance(found, str) else None


def _of_claims(claims: dict[str, Any]) -> Caller | None:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_LIMIT:
        log.warning("jwt_refused", reason="subject", expected=f"1 to {SUBJECT_LIMIT} characters")
        return None
    return Caller(f"user:{subject}", scopes_of(claims))


def scopes_of(claims: dict[str, Any]) -> frozenset[Scope]:
    """Give our scopes among those in `scope` and `scp`; `talk` where none of them is ours."""
    named: set[object] = set()
    for said in (claims.get("scope"), claims.get("scp")):
        if isinstance(said, str):
            named.update(said.split())
        elif isinstance(said, list):
            named.update(each for each in said if isinstance(each, str))
        elif said is not None:
            return frozenset()
    return frozenset(scope for scope in Scope if scope.value in named) or UNSAID
