"""The worker's health endpoint, there from the first second: `/` and `/metrics`.

Main loop. livekit-agents has one too, but only once the worker registers, after the model loaded.
"""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from protocol.errors import InvalidInput
from worker.heartbeat import HeartbeatPublisher

# Of the heartbeat; the rest names rooms, and whoever knows an open room's name may enter it.
SHOWN = {
    "worker_id",
    "state",
    "reason",
    "model",
    "model_note",
    "model_prompts",
    "model_sampling",
    "prompt_tokens",
    "voices",
    "slots_total",
    "slots_used",
    "slots_free",
    "step_p99_ms",
}


class Health:
    """Serves 200 while the worker can serve or drains, else 503, with what is shown as JSON."""

    def __init__(self, pulse: HeartbeatPublisher, host: str, port: int) -> None:
        self._pulse = pulse
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get("/", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen. Raises `InvalidInput` where that is not possible."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise InvalidInput(
                f"WORKER_HOST={self._host!r}, WORKER_PORT={self._port}: expected an address of "
                f"this machine with a free port: {error.strerror}"
            ) from error

    async def aclose(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        heartbeat = self._pulse.heartbeat()
        well = heartbeat.state in ("ready", "draining")
        return web.json_response(
            text=heartbeat.model_dump_json(include=SHOWN),
            status=200 if well else 503,
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
