"""Answers that a client may keep and ask about: `ETag`, and 304 where nothing has changed."""

from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

ASK_FIRST = "no-cache"  # keep it, but ask before each use: slots and voices change at any time


class CacheableRoute(APIRoute):
    """A route whose answer is the same for all callers. Reads `If-None-Match`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with the answer's tag, computed from its body."""
        handle = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            answer = await handle(request)
            tag = f'"{sha256(answer.body).hexdigest()[:32]}"'
            headers = {"ETag": tag, "Cache-Control": ASK_FIRST}
            if answer.status_code == 200 and _names(request, tag):
                return Response(status_code=304, headers=headers)
            answer.headers.update(headers)
            return answer

        return tagged


def _names(request: Request, tag: str) -> bool:
    """Tell whether the client has the answer. A proxy that compresses marks the tag as weak."""
    known = request.headers.get("If-None-Match", "").split(",")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in known)
