"""Takes the WebSockets that token services open for their clients. Main loop.

A client that is admitted is served by a process of rooms, which gets its connection.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import structlog
from aiohttp import web

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.websocket_ticket import CHAT_PATH, ChatTicket, RoomTicket, Tickets
from worker.context import WorkerContext
from worker.loops import call_on_loop
from worker.metrics import CHATS, ROOM_CLIENTS
from worker.websocket.passed import AnsweredElsewhere, PassedClient, connection_of, head_of

log = structlog.get_logger(__name__)

GOODBYE_S = 2.0
MOST_ROOM_CLIENTS = 64  # each costs a process of rooms some 0.8 ms of every 80, beside its rooms


class Processes(Protocol):
    """Serve the clients that are passed on to them."""

    @property
    def serve_now(self) -> bool: ...

    def serve_client(self, client: PassedClient) -> None: ...

    def end_clients(self) -> None: ...


class WebSocketServer:
    """Checks tickets, admits conversations as rooms are admitted, and ends all at the drain."""

    def __init__(self, settings: Settings, worker_id: str, processes: Processes) -> None:
        self.routes = [web.get(CHAT_PATH, self._handle)]
        self._tickets = Tickets(settings)
        self._worker_id = worker_id
        self._processes = processes
        self._loop = asyncio.get_running_loop()
        self._context: WorkerContext | None = None
        self._numbers = itertools.count(1)
        self._chats: set[int] = set()
        self._room_clients: set[int] = set()
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
        self._processes.end_clients()
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
            return self._chat(request, opens, self._context)
        return self._join_room(request, opens, self._context)

    def _chat(
        self, request: web.Request, opens: ChatTicket, context: WorkerContext
    ) -> web.StreamResponse:
        number = next(self._numbers)
        if not context.admission.reserve(number, 1):
            return _unavailable("no free slot")

        def on_left() -> None:
            context.admission.release(number)
            context.changed()

        return self._pass_on(number, request, opens, self._chats, on_left)

    def _join_room(
        self, request: web.Request, opens: RoomTicket, context: WorkerContext
    ) -> web.StreamResponse:
        is_open = context.admission.open and self._processes.serve_now
        if not is_open or len(self._room_clients) >= MOST_ROOM_CLIENTS:
            return _unavailable("no place for a participant")
        return self._pass_on(next(self._numbers), request, opens, self._room_clients)

    def _pass_on(
        self,
        number: int,
        request: web.Request,
        opens: ChatTicket | RoomTicket,
        among: set[int],
        on_left: Callable[[], None] = lambda: None,
    ) -> web.StreamResponse:
        """Have a client served, and count it among others of its kind while it is."""

        def left() -> None:
            on_left()
            call_on_loop(self._loop, self._forget, among, number)

        try:
            connection = connection_of(request)
        except OSError:  # the client is gone
            on_left()
            return AnsweredElsewhere()
        among.add(number)
        self._none_open.clear()
        self._processes.serve_client(
            PassedClient(number, opens, head_of(request), connection, left)
        )
        return AnsweredElsewhere()

    def _forget(self, among: set[int], number: int) -> None:
        among.discard(number)
        if not self._chats and not self._room_clients:
            self._none_open.set()


def _unavailable(reason: str) -> web.Response:
    return web.Response(text=reason, status=HTTPStatus.SERVICE_UNAVAILABLE)
