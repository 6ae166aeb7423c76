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

from fastapi import Depends, Request
from redis.exceptions import RedisError

from protocol.addresses import is_loopback
from protocol.errors import InvalidInput
from protocol.settings import Settings
from token_service import guests, keys
from token_service.callers import ANYONE, Caller, Scope
from token_service.guests import Guests
from token_service.keys import KeyRing
from token_service.limiter import Limiter
from token_service.problems import Refused
from token_service.users import Users

Door = Callable[[str], Awaitable[Caller | None]]

Entrances = tuple[KeyRing | None, Users | None]

READS = frozenset({"GET", "HEAD"})


class Gate:
    """Tells who calls."""

    def __init__(
        self, settings: Settings, ring: KeyRing | None, users: Users | None, guests: Guests
    ) -> None:
        self._modes = settings.auth_mode
        self._origins = settings.cors_origins
        self._ring, self._users, self._guests = ring, users, guests

    async def caller(self, request: Request, limiter: Limiter) -> Caller:
        """Give the caller, who has not called too often. Raises `Refused`."""
        address = request.client.host if request.client else ""
        bearer = _bearer(request)
        door = self._door(bearer)
        if door is None and self._is_own(request, address):
            return replace(ANYONE, address=address)
        await limiter.address(address)
        if door is None:
            found = replace(ANYONE, is_stranger=True) if "open" in self._modes else None
        else:
            found = await door(bearer)
        if found is None:
            if bearer:
                await limiter.failed(address)
            raise _unauthorized(self._modes, bearer)
        caller = replace(found, address=address)
        if request.method not in READS:
            await limiter.caller(caller.counted_as)
        return caller

    async def looker(self, request: Request, limiter: Limiter) -> None:
        """Count somebody who sees what everybody may see. Raises `Refused`.

        Without redis nobody is counted: the answer is to say that it is away.
        """
        address = request.client.host if request.client else ""
        if not self._is_own(request, address):
            with suppress(RedisError):
                await limiter.address(address)

    def _door(self, bearer: str) -> Door | None:
        """Who checks such a bearer; nobody where none is expected."""
        if bearer.startswith(guests.PREFIX):
            return self._guests.caller
        if self._ring is not None and bearer.startswith(keys.PREFIX):
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
    sentence = f"Authorization: expected a bearer (AUTH_MODE={','.join(modes)})."
    if bearer:
        sentence = "Authorization: this bearer is not good, or not any more."
    elif modes == ("loopback",):
        sentence = "AUTH_MODE=loopback lets in only who calls localhost from this machine itself."
    return Refused(
        HTTPStatus.UNAUTHORIZED, "unauthorized", sentence, {"WWW-Authenticate": "Bearer"}
    )


def doors(settings: Settings) -> Entrances:
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
        ring = KeyRing(settings.api_keys_file)
    return ring, Users(settings) if "jwt" in modes else None


async def _of_request(request: Request) -> Caller:
    service = request.app.state.service
    caller: Caller = await service.gate.caller(request, service.limiter)
    return caller


async def _count_looker(request: Request) -> None:
    service = request.app.state.service
    await service.gate.looker(request, service.limiter)


EVERYBODY = Depends(_count_looker)


class Needs:
    """A dependency: the caller, who has a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, caller: Annotated[Caller, Depends(_of_request)]) -> Caller:
        """Raise `Refused` where the caller may not."""
        caller.require(self._scope)
        return caller


Talker = Annotated[Caller, Depends(Needs(Scope.TALK))]
Manager = Annotated[Caller, Depends(Needs(Scope.MANAGE))]
Observer = Annotated[Caller, Depends(Needs(Scope.OBSERVE))]
