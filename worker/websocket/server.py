"""Takes the WebSockets that token services open for their clients. Main loop."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from http import HTTPStatus

import structlog
from aiohttp import WSCloseCode, web

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.websocket_ticket import CHAT_PATH, ChatTicket, RoomTicket, Tickets
from worker.context import WorkerContext
from worker.metrics import CHATS, ROOM_CLIENTS
from worker.websocket.client import Ending, WebSocketClient
from worker.websocket.conversation import Conversation
from worker.websocket.messages import LARGEST_BYTES
from worker.websocket.room_client import RoomClient

log = structlog.get_logger(__name__)

PING_S = 20.0  # a token service that is gone answers no ping
STOPS = Ending(WSCloseCode.SERVICE_RESTART, "the worker stops; connect again")
GOODBYE_S = 2.0
MOST_ROOM_CLIENTS = 64  # each is a connection to LiveKit, beside those of the rooms


class WebSocketServer:
    """Checks tickets, admits conversations as rooms are admitted, and ends all at the drain."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self.routes = [web.get(CHAT_PATH, self._handle)]
        self._settings = settings
        self._tickets = Tickets(settings)
        self._worker_id = worker_id
        self._context: WorkerContext | None = None
        self._chats: set[WebSocketClient] = set()
        self._room_clients: set[WebSocketClient] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()
        CHATS.set_function(lambda: len(self._chats))
        ROOM_CLIENTS.set_function(lambda: len(self._room_clients))

    def attach(self, context: WorkerContext) -> None:
        """Admit clients from now on."""
        self._context = context

    async def drain(self, grace_s: float) -> None:
        """Wait for the clients to leave, then end those left."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_open.wait(), grace_s)
        for client in self._chats | self._room_clients:
            client.end(STOPS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_open.wait(), GOODBYE_S)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        scheme, _, ticket = request.headers.get("Authorization", "").partition(" ")
        try:
            opens = self._tickets.read(ticket if scheme == "Bearer" else "", self._worker_id)
        except InvalidInput as error:
            log.warning("websocket_refused", reason=str(error))
            return web.Response(text=str(error), status=HTTPStatus.FORBIDDEN)
        if self._context is None:
            return _unavailable("the model is not loaded")
        if isinstance(opens, ChatTicket):
            return await self._chat(request, opens, self._context)
        return await self._join_room(request, opens, self._context)

    async def _chat(
        self, request: web.Request, opens: ChatTicket, context: WorkerContext
    ) -> web.StreamResponse:
        chat_id = uuid.uuid4().hex
        if not context.admission.reserve(chat_id, 1):
            return _unavailable("no free slot")

        def on_slot_taken() -> None:
            context.admission.took(chat_id)
            context.changed()

        def make(client: WebSocketClient) -> Conversation:
            return Conversation(client, opens.persona, context.engine, on_slot_taken)

        try:
            return await self._serve(request, self._chats, make)
        finally:
            context.admission.release(chat_id)
            context.changed()

    async def _join_room(
        self, request: web.Request, opens: RoomTicket, context: WorkerContext
    ) -> web.StreamResponse:
        if not context.admission.open or len(self._room_clients) >= MOST_ROOM_CLIENTS:
            return _unavailable("no place for a participant")
        return await self._serve(
            request, self._room_clients, lambda client: RoomClient(client, opens, self._settings)
        )

    async def _serve(
        self,
        request: web.Request,
        among: set[WebSocketClient],
        make: Callable[[WebSocketClient], Conversation | RoomClient],
    ) -> web.WebSocketResponse:
        """Serve a client among others of its kind, until there is a reason to end."""
        ws = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=LARGEST_BYTES, compress=False, timeout=GOODBYE_S
        )
        client = WebSocketClient(ws, self._settings.chat_idle_s)
        among.add(client)
        self._none_open.clear()
        try:
            await ws.prepare(request)
            ending = await make(client).run()
            log.info("websocket_ended", code=int(ending.code), reason=ending.reason)
            await ws.close(code=ending.code, message=ending.reason.encode())
        finally:
            among.discard(client)
            if not self._chats and not self._room_clients:
                self._none_open.set()
        return ws


def _unavailable(reason: str) -> web.Response:
    return web.Response(text=reason, status=HTTPStatus.SERVICE_UNAVAILABLE)
