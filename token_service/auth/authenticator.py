"""Who is let in: from a request to a caller with the scopes that a route needs.

A bearer is an API key, a guest's pass or a user's JWT, told apart by how it begins. Without one
nobody gets in, unless `AUTH_MODE` has `open`, or `loopback` and the request is this machine's own:
from a loopback address, to a loopback name (a foreign name that points here is an attack), from no
foreign page.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from redis.exceptions import RedisError

from protocol.config.addresses import is_loopback
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from token_service.auth import api_keys, guest_links
from token_service.auth.api_keys import ApiKeys
from token_service.auth.callers import ANYONE, Caller, Scope
from token_service.auth.guest_links import GuestLinks
from token_service.auth.jwt_users import JwtUsers, UnknownKey
from token_service.auth.rate_limit import RateLimiter
from token_service.errors import Refused, bad_bearer

Authenticate = Callable[[str], Awaitable[Caller | None]]

Authenticators = tuple[ApiKeys | None, JwtUsers | None]

READS = frozenset({"GET", "HEAD"})


class Authenticator:
    """Tells who calls."""

    def __init__(
        self, settings: Settings, ring: ApiKeys | None, users: JwtUsers | None, guests: GuestLinks
    ) -> None:
        self._modes = settings.auth_mode
        self._origins = settings.cors_origins
        self._ring, self._users, self._guests = ring, users, guests

    async def caller(self, request: Request, limiter: RateLimiter) -> Caller:
        """Give the caller, who has not called too often. Raises `Refused`."""
        address = request.client.host if request.client else ""
        bearer = _bearer(request)
        door = self._door(bearer)
        if door is None and self._is_own(request, address):
            return replace(ANYONE, address=address)
        if door is not None:
            found = await self._known(door, bearer, address, limiter)
        elif "open" in self._modes:
            found = replace(ANYONE, is_stranger=True)
        else:
            await (limiter.failed(address) if bearer else limiter.nobody(address))
            raise _unauthorized(self._modes, bearer)
        caller = replace(found, address=address)
        await limiter.let_in(caller)
        if request.method not in READS:
            await limiter.caller(caller)
        return caller

    async def _known(
        self, door: Authenticate, bearer: str, address: str, limiter: RateLimiter
    ) -> Caller:
        """Give whom the bearer is for; one that is not good is counted. Raises `Refused`.

        What is cheap to check comes before the count, so that good callers are never shut out with
        bad ones of their address; a question to the issuer comes after it.
        """
        counted = False
        try:
            found = await door(bearer)
        except UnknownKey as unknown:
            if counted := unknown.users.has_keys:
                await limiter.failed(address)
            found = await unknown.users.new_caller(bearer)
        if found is None:
            if not counted:
                await limiter.failed(address)
            raise _unauthorized(self._modes, bearer)
        return found

    async def count_anonymous(self, request: Request, limiter: RateLimiter) -> None:
        """Count somebody who sees what everybody may see. Raises `Refused`.

        Without redis nobody is counted: the answer is to say that it is away.
        """
        address = request.client.host if request.client else ""
        if not self._is_own(request, address):
            with suppress(RedisError):
                await limiter.count_anonymous(address)

    def _door(self, bearer: str) -> Authenticate | None:
        """Who checks such a bearer; nobody where none is expected."""
        if bearer.startswith(guest_links.PREFIX):
            return self._guests.caller
        if self._ring is not None and bearer.startswith(api_keys.PREFIX):
            return self._ring.caller
        if self._users is not None and bearer:
            return self._users.caller
        return None

    def _is_own(self, request: Request, address: str) -> bool:
        if "loopback" not in self._modes:
            return False
        origin = request.headers.get("Origin")
        return (
            is_loopback(address)
            and _is_here(f"//{request.headers.get('Host', '')}")
            and (origin is None or origin in self._origins or _is_here(origin))
        )


def _bearer(request: Request) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def _is_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def _unauthorized(modes: tuple[str, ...], bearer: str) -> Refused:
    if bearer:
        return bad_bearer()
    sentence = f"Authorization: expected a bearer (AUTH_MODE={','.join(modes)})."
    if modes == ("loopback",):
        sentence = "AUTH_MODE=loopback lets in only who calls localhost from this machine itself."
    return Refused(
        HTTPStatus.UNAUTHORIZED, "unauthorized", sentence, {"WWW-Authenticate": "Bearer"}
    )


def authenticators(settings: Settings) -> Authenticators:
    """Read what the modes need. Raises `InvalidInput` for settings that do not go together."""
    modes = settings.auth_mode
    if not modes:
        raise InvalidInput("AUTH_MODE: expected at least one of loopback, open, api_keys, jwt")
    if modes == ("loopback",) and not is_loopback(settings.host):
        raise InvalidInput(
            f"AUTH_MODE='loopback' with HOST={settings.host!r}: nobody could get in; "
            "expected api_keys, jwt or open"
        )
    ring = None
    if "api_keys" in modes:
        if settings.api_keys_file is None:
            raise InvalidInput("API_KEYS_FILE: expected with AUTH_MODE=api_keys")
        ring = ApiKeys(settings.api_keys_file)
    return ring, JwtUsers(settings) if "jwt" in modes else None


BEARER = HTTPBearer(
    scheme_name="bearer",
    description="An API key (`mrk_…`), a guest link's bearer (`mrg_…`), or a JWT of the operator's "
    "issuer. Which of them are good, and whether none is needed, is `AUTH_MODE`.",
    auto_error=False,
)


async def caller_of(request: Request, _: Annotated[object, Security(BEARER)] = None) -> Caller:
    """Let a request in and count it, once. Raises `Refused`, and `AuditAway` for a change."""
    found: Caller | None = getattr(request.state, "caller", None)
    if found is not None:
        return found
    service = request.app.state.service
    caller: Caller = await service.gate.caller(request, service.limiter)
    if request.method not in READS:
        service.audit.require()
    request.state.caller = caller
    return caller


async def _count_anonymous(request: Request) -> None:
    service = request.app.state.service
    await service.gate.count_anonymous(request, service.limiter)


ANONYMOUS = Depends(_count_anonymous)


class Needs:
    """A dependency: the caller, who has a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        """Raise `Refused` where the caller may not."""
        caller.require(self._scope)
        return caller


Talker = Annotated[Caller, Security(Needs(Scope.TALK), scopes=[Scope.TALK])]
Manager = Annotated[Caller, Security(Needs(Scope.MANAGE), scopes=[Scope.MANAGE])]
Observer = Annotated[Caller, Security(Needs(Scope.OBSERVE), scopes=[Scope.OBSERVE])]
