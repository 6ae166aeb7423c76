"""`/mcp`: the MCP server over streamable HTTP, each request by itself, so any replica serves it.

Loaded with the first request, on a thread: the SDK takes a second and tens of megabytes.
"""

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from token_service.http.access import caller_of

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class McpEndpoint:
    """Authenticates a request as every other route does, then hands it to the SDK."""

    def __init__(self) -> None:
        self._loading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._manager: StreamableHTTPSessionManager | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def route(self) -> Route:
        """The route. Only POST: no stream of the server's own is offered."""
        return Route("/mcp", self, methods=["POST"], name="mcp", include_in_schema=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await caller_of(Request(scope, receive))
        manager = await self._loaded()
        await manager.handle_request(scope, receive, send)

    async def aclose(self) -> None:
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def _loaded(self) -> "StreamableHTTPSessionManager":
        async with self._loading:
            if self._manager is None:
                manager = await asyncio.to_thread(_make_manager)
                started = asyncio.Event()
                self._running = asyncio.create_task(self._run(manager, started), name="mcp")
                await started.wait()
                self._manager = manager
            return self._manager

    async def _run(self, manager: "StreamableHTTPSessionManager", started: asyncio.Event) -> None:
        """Hold the SDK's task group, which one task has to open and close."""
        async with manager.run():
            started.set()
            await self._stopping.wait()


def _make_manager() -> "StreamableHTTPSessionManager":
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from token_service.mcp.tools import make_server

    server = make_server()._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    return StreamableHTTPSessionManager(server, json_response=True, stateless=True)
