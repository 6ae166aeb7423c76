"""The worker's registration with LiveKit, under a name of its own. Main loop.

A dispatch names the worker that holds its slots. Under one name for all workers LiveKit would
choose one at random, and lose the dispatch if that one is frozen: it waits 3 s for an answer and
asks no other (livekit-server 1.13.5 pkg/service/agentservice.go JobRequest).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
from livekit.agents import AgentServer, JobContext, JobExecutorType, JobRequest
from livekit.agents.job import RunningJobInfo

from protocol.config.livekit_trouble import REFUSED, ask_refusal, connection_failure
from protocol.config.proxies import proxy_url_for
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from worker.livekit_private.job_pool import JobPool, ServedJob

CONNECT_S = 10.0  # aiohttp's own limit of 300 s would hide the reason for so long


class Registration(AgentServer):
    """LiveKit's own worker, whose jobs are served elsewhere. Reports why it has no connection."""

    def __init__(
        self,
        settings: Settings,
        agent_name: str,
        on_disconnected: Callable[[str], None],
        request: Callable[[JobRequest], Awaitable[None]],
        serve: Callable[[RunningJobInfo], ServedJob],
    ) -> None:
        """`request` accepts or refuses a job, `serve` begins one that LiveKit assigned.

        `on_disconnected` gets the reason why there is no connection to LiveKit.
        """
        self._jobs = JobPool(serve)
        super().__init__(
            job_executor_type=JobExecutorType.THREAD,
            ws_url=settings.livekit_url,
            api_key=settings.livekit_api_key,
            api_secret=reveal(settings, "livekit_api_secret", "worker registration"),
            load_threshold=float("inf"),  # free slots decide instead (`worker.fleet.admission`)
            load_fnc=lambda: 0.0,  # reported 2.5 s late, a load would refuse jobs that fit
            num_idle_processes=0,
            host="127.0.0.1",
            port=0,  # of livekit-agents' own health endpoint; ours is `worker.fleet.health`
            http_proxy=proxy_url_for(settings.livekit_url),
        )
        self._on_disconnected = on_disconnected
        self.rtc_session(_never, agent_name=agent_name, on_request=request)

    @property
    def _proc_pool(self) -> JobPool:  # livekit-agents has no public way to serve jobs elsewhere
        return self._jobs

    @_proc_pool.setter
    def _proc_pool(self, _: object) -> None:
        """Ignore livekit-agents' own pool, which starts no thread before it is used."""

    async def _connection_task(self) -> None:
        """Connect again and again, and report failures (livekit-agents 1.8.9 has no event)."""
        assert self._http_session is not None
        session = _ReportingSession(self._http_session, self._ws_url, self._on_disconnected)
        self._http_session = cast("aiohttp.ClientSession", session)
        await super()._connection_task()

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Run one connection, and report its end (livekit-agents 1.8.9 has no event)."""
        try:
            await super()._run_ws(ws)
        finally:
            self._on_disconnected("LiveKit closed the connection")


async def _never(_: JobContext) -> None:
    """Serve no job: `JobPool` does. livekit-agents asks for an entry point."""


class _ReportingSession:
    """An aiohttp session that reports why a WebSocket was not opened."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, on_failed: Callable[[str], None]
    ) -> None:
        self._session, self._url, self._on_failed = session, url, on_failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def ws_connect(
        self, url: str, *, headers: dict[str, str], **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket, or report the reason and raise."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._session.ws_connect(url, headers=headers, **options)
        except (aiohttp.ClientError, OSError) as error:
            self._on_failed(await self._reason(error, headers))
            raise

    async def _reason(self, error: Exception, headers: dict[str, str]) -> str:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in REFUSED:
            token = headers["Authorization"].removeprefix("Bearer ")
            return (await ask_refusal(self._session, self._url, token)).sentence
        return connection_failure(error, self._url)
