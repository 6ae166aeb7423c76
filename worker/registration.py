"""How LiveKit knows this worker: by a name of its own, and connected or not. Main loop.

A dispatch goes to the worker whose slots are held for it. Under one name for all workers LiveKit
would choose one by chance, and a dispatch is lost where it asks one that is frozen: it waits 3 s
for the answer and asks no other (livekit-server 1.13.5 pkg/service/agentservice.go JobRequest).
"""

from collections.abc import Callable

import aiohttp
from livekit.agents import AgentServer, JobExecutorType

from protocol.secret import reveal
from protocol.settings import Settings

IDLE_THREADS = 2  # job threads that wait, so that a room need not


class Registration(AgentServer):
    """LiveKit's own worker, with one thread per job. Tells when it loses LiveKit."""

    def __init__(self, settings: Settings, on_lost: Callable[[], None]) -> None:
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
            log_level=settings.log_level.upper(),
        )
        self._on_lost = on_lost

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """One connection, from registered to lost (livekit-agents 1.8.9 has no event for it)."""
        try:
            await super()._run_ws(ws)
        finally:
            self._on_lost()
