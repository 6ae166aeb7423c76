"""Takes the WebSockets that token services open for their clients. Main loop."""

import asyncio
import contextlib
import uuid
from http import HTTPStatus

import structlog
from aiohttp import WSCloseCode, web

from protocol.chat_ticket import CHAT_PATH, ChatTickets
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.room_spec import PersonaSpec
from worker.context import WorkerContext
from worker.engine.slots import Full
from worker.metrics import CHATS
from worker.websocket.conversation import Conversation, Ending
from worker.websocket.messages import LARGEST_BYTES

log = structlog.get_logger(__name__)

PING_S = 20.0  # a token service that is gone answers no ping
STOPS = Ending(WSCloseCode.SERVICE_RESTART, "the worker stops; connect again")
GOODBYE_S = 2.0


class ChatServer:
    """Checks tickets, admits conversations as rooms are admitted, and ends them at the drain."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self.routes = [web.get(CHAT_PATH, self._handle)]
        self._tickets = ChatTickets(settings)
        self._worker_id = worker_id
        self._idle_s = settings.chat_idle_s
        self._context: WorkerContext | None = None
        self._open: set[Conversation] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()
        CHATS.set_function(lambda: len(self._open))

    def attach(self, context: WorkerContext) -> None:
        """Admit conversations from now on."""
        self._context = context

    async def drain(self, grace_s: float) -> None:
        """Wait for the conversations to end, then end those left."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_open.wait(), grace_s)
        for conversation in self._open:
            conversation.end(STOPS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_open.wait(), GOODBYE_S)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        scheme, _, ticket = request.headers.get("Authorization", "").partition(" ")
        try:
            persona = self._tickets.read(ticket if scheme == "Bearer" else "", self._worker_id)
        except InvalidInput as error:
            log.warning("chat_refused", reason=str(error))
            return web.Response(text=str(error), status=HTTPStatus.FORBIDDEN)
        context, chat_id = self._context, uuid.uuid4().hex
        if context is None or not context.admission.reserve(chat_id, 1):
            return web.Response(text="no free slot", status=HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return await self._serve(request, persona, context, chat_id)
        finally:
            context.admission.claim(chat_id)
            context.changed()

    async def _serve(
        self, request: web.Request, persona: PersonaSpec, context: WorkerContext, chat_id: str
    ) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=LARGEST_BYTES, compress=False, timeout=GOODBYE_S
        )
        await ws.prepare(request)
        conversation = Conversation(ws, persona, context.engine)

        def on_slot_taken() -> None:
            context.admission.took(chat_id)
            context.changed()

        self._open.add(conversation)
        self._none_open.clear()
        try:
            ending = await conversation.run(on_slot_taken, self._idle_s)
            log.info("chat_ended", persona=persona.name, reason=ending.reason)
            await ws.close(code=ending.code, message=ending.reason.encode())
        except Full:
            await ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"no free slot")
        finally:
            self._open.discard(conversation)
            if not self._open:
                self._none_open.set()
        return ws
