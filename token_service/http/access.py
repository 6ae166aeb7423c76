"""The access rules of routes: caller, scope and request count, before a body is read."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from token_service.auth.authenticator import READS
from token_service.auth.callers import Caller, Scope
from token_service.service import OpenService, service_of

BEARER = HTTPBearer(
    scheme_name="bearer",
    description="An API key (`mrk_…`), a guest link's bearer (`mrg_…`), or a JWT of the operator's "
    "issuer. `AUTH_MODE` decides which of them are valid, and whether a bearer is needed at all.",
    auto_error=False,
)


async def caller_of(request: Request, _: Annotated[object, Security(BEARER)] = None) -> Caller:
    """Authenticate and count a request, once. Raises `Refused`; `AuditAway` for a change."""
    found: Caller | None = getattr(request.state, "caller", None)
    if found is not None:
        return found
    service = await service_of(request)
    caller = await service.authenticator.caller(request)
    if request.method not in READS:
        service.audit.require()
    request.state.caller = caller
    return caller


def _with_scope(scope: Scope) -> Callable[[Caller], Coroutine[Any, Any, Caller]]:
    """Make a dependency that returns the caller if it has a scope."""

    async def caller_with_scope(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        caller.require(scope)
        return caller

    return caller_with_scope


Talker = Annotated[Caller, Security(_with_scope(Scope.TALK), scopes=[Scope.TALK])]
Manager = Annotated[Caller, Security(_with_scope(Scope.MANAGE), scopes=[Scope.MANAGE])]
Recordist = Annotated[Caller, Security(_with_scope(Scope.RECORD), scopes=[Scope.RECORD])]
Observer = Annotated[Caller, Security(_with_scope(Scope.OBSERVE), scopes=[Scope.OBSERVE])]


async def _count_anonymous(request: Request, service: OpenService) -> None:
    await service.authenticator.count_anonymous(request)


ANONYMOUS = Depends(_count_anonymous)


class CountedRoute(APIRoute):
    """A route that authenticates before it reads the body; FastAPI alone parses JSON first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the authentication, if the route needs a caller."""
        handle = super().get_route_handler()
        if not _needs_caller(self.dependant):
            return handle

        async def counted(request: Request) -> Response:
            await caller_of(request)
            return await handle(request)

        return counted


def _needs_caller(dependant: Dependant) -> bool:
    return dependant.call is caller_of or any(map(_needs_caller, dependant.dependencies))
