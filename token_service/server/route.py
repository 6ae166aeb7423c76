"""A route whose caller is let in and counted before a body is read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from token_service.auth.authenticator import caller_of


class CountedRoute(APIRoute):
    """FastAPI reads and parses a JSON body before it asks any dependency; this asks first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Let the caller in, where the route needs one; then do as FastAPI does."""
        handle = super().get_route_handler()
        if not _needs_caller(self.dependant):
            return handle

        async def counted(request: Request) -> Response:
            await caller_of(request)
            return await handle(request)

        return counted


def _needs_caller(dependant: Dependant) -> bool:
    return dependant.call is caller_of or any(map(_needs_caller, dependant.dependencies))
