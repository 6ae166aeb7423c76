"""The worker's HTTP endpoint: health at `/`, metrics at `/metrics`, further routes. Main loop.

It answers before the model is loaded; livekit-agents' own starts only when the worker registers.
"""

from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from protocol.errors import InvalidInput
from worker.fleet.heartbeat import HeartbeatPublisher

# The heartbeat's other fields stay inside: `outcomes` names rooms, and a stranger may join an open
# room by its name. A list of hidden fields would show a new field that names rooms.
SHOWN_FIELDS = {
    "worker_id",
    "state",
    "reason",
    "model",
    "model_note",
    "model_prompts",
    "model_sampling",
    "prompt_tokens",
    "voices",
    "stt",
    "slots_total",
    "slots_used",
    "slots_free",
    "step_p99_ms",
}


class HealthEndpoint:
    """Serves the heartbeat as JSON: status 200 while the worker is ready or drains, else 503."""

    def __init__(
        self,
        publisher: HeartbeatPublisher,
        host: str,
        port: int,
        figures: Collector,
        routes: Iterable[web.RouteDef] = (),
    ) -> None:
        self._publisher = publisher
        self._figures = figures
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get("/", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen. Raises `InvalidInput` if the address cannot be used."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise InvalidInput(
                f"WORKER_HOST={self._host!r}, WORKER_PORT={self._port}: expected an address of "
                f"this machine with a free port: {error.strerror}"
            ) from error

    async def aclose(self) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        heartbeat = self._publisher.heartbeat()
        is_healthy = heartbeat.state in ("ready", "draining")
        return web.json_response(
            text=heartbeat.model_dump_json(include=SHOWN_FIELDS),
            status=200 if is_healthy else 503,
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._figures), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
