"""The WebSockets of a worker in this process, with the echo: no other process and no redis."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web

from harness import servers
from protocol.config.settings import Settings
from protocol.room_spec import PersonaSpec
from protocol.websocket_ticket import CHAT_PATH, ChatTicket, Tickets
from tests.conftest import SettingsFor
from tests.worker.websocket.one_process import OneProcess
from worker.context import WorkerContext
from worker.engine.echo import echo_model
from worker.engine.engine import Engine
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosts
from worker.websocket.server import WebSocketServer

SLOTS = 3
IDLE_S = 1.0
WORKER_ID = "worker-1"
PERSONA = PersonaSpec(id="1", name="assistant", label="Assistant")


@dataclass(frozen=True)
class Worker:
    """A running server with its engine, and the tickets that open a conversation."""

    url: str
    server: WebSocketServer
    engine: Engine
    admission: JobAdmission
    settings: Settings

    def personas(self) -> list[str]:
        """Return the names of the personas that hold a slot."""
        slots = self.engine._slots
        found = [slots.at(slot) for slot in range(SLOTS)]
        return [each.persona.name for each in found if each is not None]

    def ticket(self, worker_id: str = WORKER_ID) -> dict[str, dict[str, str]]:
        """Return the options of `calling` that carry a token service's ticket."""
        ticket = Tickets(self.settings).write(ChatTicket(persona=PERSONA), worker_id)
        return {"headers": {"Authorization": f"Bearer {ticket}"}}


def _fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def worker(settings_for: SettingsFor) -> AsyncGenerator[Worker]:
    """Run a worker's WebSockets with `SLOTS`."""
    async with running(settings_for(chat_idle_s=IDLE_S)) as worker:
        yield worker


@asynccontextmanager
async def running(settings: Settings, worker_id: str = WORKER_ID) -> AsyncGenerator[Worker]:
    """Run a worker's WebSockets on a port of their own."""
    engine = Engine(echo_model(SLOTS), _fail)
    engine.start()
    admission = JobAdmission(lambda: engine.free)
    context = WorkerContext(engine, None, admission, Hosts(), lambda: None)
    process = OneProcess(settings, engine, admission, asyncio.get_running_loop())
    server = WebSocketServer(settings, worker_id, process)
    server.attach(context)
    app = web.Application()
    app.router.add_routes(server.routes)
    runner = web.AppRunner(app)
    await runner.setup()
    port = servers.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        url = f"http://127.0.0.1:{port}{CHAT_PATH}"
        yield Worker(url, server, engine, admission, settings)
    finally:
        await server.drain(0.0)
        await runner.cleanup()
        process.close()
        engine.stop()
