"""Answers that a client may keep and ask about: `ETag`, and 304 where nothing has changed."""

from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

Handle = Callable[[Request], Coroutine[Any, Any, Response]]

ASK_FIRST = "no-cache"  # keep it, but ask before each use: slots and voices change at any time


class CacheableRoute(APIRoute):
    """A route whose answer is the same for all callers. Reads `If-None-Match`."""

    def get_route_handler(self) -> Handle:
        """Return FastAPI's handler with the answer's tag, computed from its body."""
        handle = super().get_route_handler()

        return tagged(handle)


def tagged(handle: Handle) -> Handle:
    """Return a handler that adds the tag of the answer, or answers that nothing has changed."""

    async def with_tag(request: Request) -> Response:
        answer = await handle(request)
        tag = f'"{sha256(answer.body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": ASK_FIRST}
        if answer.status_code == 200 and _names(request, tag):
            return Response(status_code=304, headers=headers)
        answer.headers.update(headers)
        return answer

    return with_tag


def _names(request: Request, tag: str) -> bool:
    """Tell whether the client has the answer. A proxy that compresses marks the tag as weak."""
    known = request.headers.get("If-None-Match", "").split(",")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in known)
