"""Serves the WebSocket clients that the main process passes on. One loop.

Their requests are answered here, by a server of aiohttp's for each connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from socket import socket

import structlog
from aiohttp import WSCloseCode, web

from protocol.config.settings import Settings
from protocol.websocket_ticket import LARGEST_BYTES, ChatTicket, RoomTicket
from worker.background_tasks import BackgroundTasks
from worker.engine.door import EngineDoor
from worker.websocket.client import Ending, WebSocketClient
from worker.websocket.conversation import Conversation
from worker.websocket.room_client import RoomClient

log = structlog.get_logger(__name__)

PING_S = 20.0  # a token service that is gone answers no ping
CLOSED_WITHIN_S = 2.0
STOPS = Ending(WSCloseCode.SERVICE_RESTART, "the worker stops; connect again")

Talk = Callable[[web.BaseRequest], Awaitable[web.WebSocketResponse]]


class Clients:
    """The clients that this process serves, by their numbers."""

    def __init__(
        self, settings: Settings, engine: EngineDoor, on_left: Callable[[int], None]
    ) -> None:
        """`on_left` is called once for each client."""
        self._settings, self._engine = settings, engine
        self._on_left = on_left
        self._serving = BackgroundTasks("client", "websocket")
        self._open: set[WebSocketClient] = set()
        self._has_ended = False

    def serve(
        self, number: int, opens: ChatTicket | RoomTicket, head: bytes, connection: socket
    ) -> None:
        """Answer a client's request, and serve it until there is a reason to end."""
        self._serving.spawn(self._serve(number, opens, head, connection))

    def end_all(self) -> None:
        """End all clients, also those that still come."""
        self._has_ended = True
        for client in self._open:
            client.end(STOPS)

    async def _serve(
        self, number: int, opens: ChatTicket | RoomTicket, head: bytes, connection: socket
    ) -> None:
        server = _OneConnection(partial(self._talk, number, opens))
        protocol = server()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
            protocol.data_received(head)
            await server.over.wait()
        finally:
            self._on_left(number)

    async def _talk(
        self, number: int, opens: ChatTicket | RoomTicket, request: web.BaseRequest
    ) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=LARGEST_BYTES, compress=False, timeout=CLOSED_WITHIN_S
        )
        client = WebSocketClient(ws, self._settings.chat_idle_s)
        self._open.add(client)
        if self._has_ended:
            client.end(STOPS)
        try:
            await ws.prepare(request)
            ending = await self._made(number, opens, client).run()
            log.info("websocket_ended", code=int(ending.code), reason=ending.reason)
            await ws.close(code=ending.code, message=ending.reason.encode())
        finally:
            self._open.discard(client)
        return ws

    def _made(
        self, number: int, opens: ChatTicket | RoomTicket, client: WebSocketClient
    ) -> Conversation | RoomClient:
        if isinstance(opens, RoomTicket):
            return RoomClient(client, opens, self._settings)
        return Conversation(client, opens.persona, self._engine, number)


class _OneConnection(web.Server):
    """Serves one connection; `over` is set once that has an end, whatever it is."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(self._handle, access_log=None)
        self.over = asyncio.Event()
        self._talk = talk
        self._is_talking = False

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._is_talking = True
        try:
            return await self._talk(request)
        finally:
            self.over.set()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Note the end of a connection whose client has left before it was served."""
        super().connection_lost(handler, exc)
        if not self._is_talking:
            self.over.set()
