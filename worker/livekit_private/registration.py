"""How LiveKit knows this worker: by a name of its own, and connected or not. Main loop.

A dispatch goes to the worker whose slots are held for it. Under one name for all workers LiveKit
would choose one by chance, and a dispatch is lost where it asks one that is frozen: it waits 3 s
for the answer and asks no other (livekit-server 1.13.5 pkg/service/agentservice.go JobRequest).
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiohttp
from livekit.agents import AgentServer, JobExecutorType

from protocol.config.proxies import lead_native_library, proxy_url_for
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.livekit_trouble import REFUSED, ask_why, trouble_with

IDLE_THREADS = 2  # job threads that wait, so that a room need not
CONNECT_S = 10.0  # aiohttp's own limit is 300 s, in which the worker would know no reason


class Registration(AgentServer):
    """LiveKit's own worker, with one thread per job. Tells when and why it has no connection."""

    def __init__(self, settings: Settings, on_lost: Callable[[str], None]) -> None:
        super().__init__(
            job_executor_type=JobExecutorType.THREAD,
            ws_url=settings.livekit_url,
            api_key=settings.livekit_api_key,
            api_secret=reveal(settings, "livekit_api_secret", "worker registration"),
            load_threshold=float("inf"),  # we decide by free slots
            load_fnc=lambda: 0.0,  # told 2.5 s late, it would keep out who may come by now
            num_idle_processes=IDLE_THREADS,
            host="127.0.0.1",
            port=0,  # its health endpoint; ours is `worker.health`
            http_proxy=proxy_url_for(settings.livekit_url),
            log_level=settings.log_level.upper(),
        )
        lead_native_library(settings.livekit_url)
        self._on_lost = on_lost

    async def _connection_task(self) -> None:
        """Connect again and again (livekit-agents 1.8.9 has no event for an attempt that fails)."""
        assert self._http_session is not None
        door = _Door(self._http_session, self._ws_url, self._on_lost)
        self._http_session = cast("aiohttp.ClientSession", door)
        await super()._connection_task()

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """One connection, from registered to lost (livekit-agents 1.8.9 has no event for it)."""
        try:
            await super()._run_ws(ws)
        finally:
            self._on_lost("LiveKit closed the connection")


class _Door:
    """The session that `AgentServer` connects with. Tells why a connection was not made."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, on_refused: Callable[[str], None]
    ) -> None:
        self._session, self._url, self._on_refused = session, url, on_refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def ws_connect(
        self, url: str, *, headers: dict[str, str], **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        """Connect, or tell why not and raise."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._session.ws_connect(url, headers=headers, **options)
        except (aiohttp.ClientError, OSError) as error:
            self._on_refused(await self._why(error, headers))
            raise

    async def _why(self, error: Exception, headers: dict[str, str]) -> str:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in REFUSED:
            token = headers["Authorization"].removeprefix("Bearer ")
            return (await ask_why(self._session, self._url, token)).sentence
        return trouble_with(error, self._url)
