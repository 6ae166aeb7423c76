"""Authentication: from a request to its caller.

A bearer is an API key, a guest link's or a user's JWT; its prefix tells which. Requests without a
bearer are refused, unless `AUTH_MODE` has `open`, or `loopback` and the request is this machine's
own: from a loopback address, to a loopback name (a foreign name that resolves to this machine is an
attack), from no foreign page.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from fastapi.requests import HTTPConnection
from redis.exceptions import RedisError

from protocol.config.addresses import is_loopback
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from token_service.auth import api_keys, guest_links
from token_service.auth.api_keys import ApiKeys
from token_service.auth.bearers import bearer_of, is_here, is_origin_allowed, is_websocket
from token_service.auth.callers import ANYONE, STRANGERS, Caller
from token_service.auth.guest_links import GuestLinks
from token_service.auth.jwt_users import JwtUsers, UnknownKey
from token_service.auth.person_tokens import PersonTokens
from token_service.auth.rate_limit import RateLimiter
from token_service.refusals import Refused, bad_bearer

Credentials = tuple[ApiKeys | None, JwtUsers | None]

READS = frozenset({"GET", "HEAD"})


class Authenticator:
    """Finds the caller of a request, and counts the request."""

    def __init__(
        self, settings: Settings, credentials: Credentials, links: GuestLinks, limiter: RateLimiter
    ) -> None:
        self._modes = settings.auth_mode
        self._origins = settings.cors_origins
        self._keys, self._users = credentials
        self._links = links
        self._tokens = PersonTokens(settings)
        self._limiter = limiter

    async def caller(self, request: HTTPConnection) -> Caller:
        """Return the caller and count the request; a WebSocket is a change. Raises `Refused`."""
        address = address_of(request)
        bearer = bearer_of(request)
        if is_websocket(request) and not is_origin_allowed(request, self._origins):
            sentence = "Origin: expected this service's own, or one of CORS_ORIGINS."
            raise Refused(HTTPStatus.FORBIDDEN, "origin_not_allowed", sentence)
        verify = self._verifier(bearer)
        if is_websocket(request) and (person := self._tokens.caller(bearer)) is not None:
            found = person
        elif verify is not None:
            found = await self._verified(verify, bearer, address)
        elif self._is_own(request, address):
            return replace(ANYONE, address=address)
        elif "open" in self._modes:
            found = replace(ANYONE, scopes=STRANGERS, is_stranger=True)
        else:
            limiter = self._limiter
            await (limiter.failed(address) if bearer else limiter.without_bearer(address))
            raise bad_bearer() if bearer else _bearer_missing(self._modes)
        caller = replace(found, address=address)
        await self._limiter.request(caller)
        if request.scope.get("method") not in READS:
            await self._limiter.change(caller)
        return caller

    async def count_anonymous(self, request: HTTPConnection) -> None:
        """Rate-limit a public request. Trusted local requests are exempt. Raises `Refused`.

        Without redis nothing is counted: the answer then says that redis is away.
        """
        address = address_of(request)
        if not self._is_own(request, address):
            with suppress(RedisError):
                await self._limiter.anonymous(address)

    async def _verified(
        self, verify: Callable[[str], Caller | None], bearer: str, address: str
    ) -> Caller:
        """Return a bearer's caller. Raises `Refused` for an invalid one, which is counted.

        Local checks come before the count, so that invalid bearers of an address do not lock out
        its valid callers; the question to the issuer comes after it.
        """
        counted = False
        try:
            found = verify(bearer)
        except UnknownKey as unknown:
            if counted := unknown.users.has_keys:
                await self._limiter.failed(address)
            found = await unknown.users.caller_by_new_key(bearer)
        if found is None:
            if not counted:
                await self._limiter.failed(address)
            raise bad_bearer()
        return found

    def _verifier(self, bearer: str) -> Callable[[str], Caller | None] | None:
        if bearer.startswith(guest_links.PREFIX):
            return self._links.caller
        if self._keys is not None and bearer.startswith(api_keys.PREFIX):
            return self._keys.caller
        return self._users.caller if self._users is not None and bearer else None

    def _is_own(self, request: HTTPConnection, address: str) -> bool:
        if "loopback" not in self._modes:
            return False
        origin = request.headers.get("Origin")
        return (
            is_loopback(address)
            and is_here(f"//{request.headers.get('Host', '')}")
            and (origin is None or origin in self._origins or is_here(origin))
        )


def address_of(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _bearer_missing(modes: tuple[str, ...]) -> Refused:
    sentence = f"Authorization: expected a bearer (AUTH_MODE={','.join(modes)})."
    if modes == ("loopback",):
        sentence = "AUTH_MODE=loopback admits only requests to localhost from this machine."
    headers = {"WWW-Authenticate": "Bearer"}
    return Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", sentence, headers)


def credentials_of(settings: Settings) -> Credentials:
    """Read the API keys and the JWT settings. Raises `InvalidInput` for contradicting settings."""
    modes = settings.auth_mode
    if not modes:
        raise InvalidInput("AUTH_MODE: expected at least one of loopback, open, api_keys, jwt")
    if modes == ("loopback",) and not is_loopback(settings.host):
        raise InvalidInput(
            f"AUTH_MODE='loopback' with HOST={settings.host!r} admits no caller; "
            "expected api_keys, jwt or open"
        )
    keys = None
    if "api_keys" in modes:
        if settings.api_keys_file is None:
            raise InvalidInput("API_KEYS_FILE: expected with AUTH_MODE=api_keys")
        keys = ApiKeys(settings.api_keys_file)
    return keys, JwtUsers(settings) if "jwt" in modes else None
