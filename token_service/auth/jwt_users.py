"""The operator's users: JWTs of one issuer for one audience, verified by its published keys."""

import re
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
SUBJECT = re.compile(rf"[^\ud800-\udfff]{{1,{SUBJECT_LIMIT}}}")  # half a pair is no UTF-8
SHOWN_CHARACTERS = 200  # of a claim, in the log
DEFAULT_SCOPES = frozenset({Scope.TALK})  # of a JWT that names no scope of ours
REASONS: dict[type[Exception], str] = {
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
    """Raised for a JWT whose key is not cached: the issuer has to be asked."""

    def __init__(self, users: "JwtUsers") -> None:
        super().__init__()
        self.users = users


class JwtUsers:
    def __init__(self, settings: Settings) -> None:
        """Fetch nothing yet. Raises `InvalidInput` for a missing setting."""
        for name in ("jwt_issuer", "jwt_audience", "jwt_jwks_url"):
            if getattr(settings, name) is None:
                raise InvalidInput(f"{name.upper()}: expected with AUTH_MODE=jwt")
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._keys = IssuerKeys(str(settings.jwt_jwks_url))

    @property
    def has_keys(self) -> bool:
        return self._keys.are_held

    def caller(self, token: str) -> Caller | None:
        """Return the user by a cached key; `None` for an invalid JWT. Raises `UnknownKey`."""
        key_id = _key_id(token)
        key = self._keys.held(key_id)
        if key is None and key_id is not None:
            raise UnknownKey(self)
        return self._verified(token, key)

    async def caller_by_new_key(self, token: str) -> Caller | None:
        """Ask the issuer for the key, then return the user. Raises `Unavailable`."""
        return self._verified(token, await self._keys.fetched(_key_id(token)))

    async def close(self) -> None:
        await self._keys.close()

    def _verified(self, token: str, key: jwt.PyJWK | None) -> Caller | None:
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
            self._log_refusal(token, error)
            return None
        subject = claims["sub"]
        if not isinstance(subject, str) or not SUBJECT.fullmatch(subject):
            expected = f"1 to {SUBJECT_LIMIT} characters of Unicode"
            log.warning("jwt_refused", reason="subject", expected=expected)
            return None
        return Caller(f"user:{subject}", scopes_of(claims))

    def _log_refusal(self, token: str, error: jwt.PyJWTError) -> None:
        """Log why a JWT was refused. Only claims with a valid signature are shown."""
        reason = REASONS.get(type(error), "malformed")
        about = {"detail": str(error)}
        if reason in ("audience", "issuer", "expired", "not_yet_valid"):
            claims = jwt.decode(token, options={"verify_signature": False})
            shown = {
                "audience": (self._audience, claims.get("aud")),
                "issuer": (self._issuer, claims.get("iss")),
            }
            times = {name: claims.get(name) for name in ("iat", "nbf", "exp")}
            expected, found = shown.get(reason, (f"now is {time.time():.0f}", times))
            about |= {"expected": str(expected), "found": str(found)[:SHOWN_CHARACTERS]}
        log.warning("jwt_refused", reason=reason, **about)


def _key_id(token: str) -> str | None:
    """Return the key id in a JWT's header; `None` if the token has none or is no JWT."""
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        return None
    return found if isinstance(found, str) else None


def scopes_of(claims: dict[str, Any]) -> frozenset[Scope]:
    """Return our scopes in the claims `scope` and `scp`; `talk` if they name none of ours."""
    named: set[object] = set()
    for value in (claims.get("scope"), claims.get("scp")):
        if isinstance(value, str):
            named.update(value.split())
        elif isinstance(value, list):
            named.update(each for each in value if isinstance(each, str))
        elif value is not None:
            return frozenset()
    return frozenset(scope for scope in Scope if scope.value in named) or DEFAULT_SCOPES
