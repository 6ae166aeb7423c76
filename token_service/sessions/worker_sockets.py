"""WebSockets on workers: finds a worker for a client of ours, and opens a WebSocket to it.

For a conversation the worker reserves the slot itself, at once; a worker that refuses is passed
over. Rooms that wait for slots, and slots that are reserved for rooms, come first. A participant of
a room takes no slot.
"""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from http import HTTPStatus

import structlog
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse

from protocol.heartbeat import Heartbeat
from protocol.personas import Catalogue, Persona
from protocol.room_spec import RoomSpec, persona_specs
from protocol.websocket_ticket import LARGEST_BYTES, ChatTicket, RoomTicket, Tickets
from token_service.auth.callers import Caller
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.scheduler import LEAST, STRANGERS_SHARE, reserve
from token_service.refusals import Unavailable, full

log = structlog.stdlib.get_logger(__name__)

SOCKETS = 200  # of this process; each holds two connections
ANSWER_S = 5.0  # for a worker to take a client
THIS = "this conversation"


class WorkerSockets:
    """Opens WebSockets on workers, and counts the open ones by caller."""

    def __init__(
        self,
        catalogue: Catalogue,
        prompts: PromptLimits,
        tickets: Tickets,
        http: ClientSession,
    ) -> None:
        self._catalogue = catalogue
        self._prompts = prompts
        self._tickets = tickets
        self._http = http
        self._open = Counter[str]()

    async def open_chat(self, persona: Persona, fleet: Fleet) -> ClientWebSocketResponse:
        """Return the connection to a worker that has taken the conversation.

        Raises `InvalidInput` for a voice or a prompt that no worker can take, `Unavailable` where
        no worker has a free slot.
        """
        fleet.check_voices([persona], self._catalogue)
        await self._prompts.check([persona], fleet)
        if obstacle := fleet.obstacle(1):
            raise obstacle
        opens = ChatTicket(persona=persona_specs([persona])[0])
        reachable, troubles = _reachable(fleet), list[object]()
        while (worker_id := reserve(reachable, THIS, 1, 0.0)) is not None:
            worker = reachable.worker(worker_id)
            assert worker is not None
            if (socket := await self._connect(worker, opens, troubles)) is not None:
                return socket
            others = tuple(each for each in reachable.workers if each is not worker)
            reachable = replace(reachable, workers=others)
        raise unreached() if troubles else full()

    async def open_audio(
        self, opens: RoomTicket, spec: RoomSpec, fleet: Fleet
    ) -> ClientWebSocketResponse:
        """Return the connection to a worker that joins a room for a client.

        The room's own host is asked first: if it is lost, no other worker can break the call as
        well. Raises `Unavailable` if no worker takes the client.
        """
        if not fleet.ready and (obstacle := fleet.obstacle(1)):
            raise obstacle
        host = fleet.host(spec)
        workers, free = _reachable(fleet).ready, fleet.free_by_worker()
        first = sorted(workers, key=lambda each: (each is not host, -free.get(each.worker_id, 0)))
        troubles = list[object]()
        for worker in first:
            if (socket := await self._connect(worker, opens, troubles)) is not None:
                return socket
        raise unreached() if troubles else too_many()

    def counted_chat(self, caller: Caller, fleet: Fleet) -> AbstractContextManager[None]:
        """Count a conversation while it is open. Raises `Unavailable` if there are too many.

        A guest has one at a time, one address of strangers no more than a share of all slots.
        """
        most = SOCKETS
        if caller.guest is not None:
            most = 1
        elif caller.is_stranger:
            most = max(fleet.slots_total // STRANGERS_SHARE, LEAST)
        return self._counted(caller.counted_as, most)

    def counted_audio(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a participant while it is there. Raises `Unavailable` if there are too many."""
        return self._counted(f"audio {caller.counted_as}", SOCKETS)

    @contextmanager
    def _counted(self, key: str, most: int) -> Generator[None]:
        if self._open.total() >= SOCKETS or self._open[key] >= most:
            raise too_many()
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    async def _connect(
        self, worker: Heartbeat, opens: ChatTicket | RoomTicket, troubles: list[object]
    ) -> ClientWebSocketResponse | None:
        """Return the connection; None where the worker has no place, or with one more trouble."""
        ticket = self._tickets.write(opens, worker.worker_id)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._http.ws_connect(
                    worker.chat_url,
                    headers={"Authorization": f"Bearer {ticket}"},
                    max_msg_size=LARGEST_BYTES,
                )
        except (ClientError, OSError, TimeoutError) as error:
            reason = getattr(error, "status", type(error).__name__)
            if reason != HTTPStatus.SERVICE_UNAVAILABLE:
                troubles.append(reason)
            log.warning("websocket_not_taken", worker=worker.worker_id, reason=reason)
            return None


def unreached() -> Unavailable:
    """Return the refusal where a worker cannot be reached, or takes no ticket of this service."""
    sentence = "A worker does not take this connection; the log of the token service has why."
    return Unavailable("worker_unreached", sentence, 10)


def too_many() -> Unavailable:
    """Return the refusal for a client beyond a limit of open connections."""
    return Unavailable("busy", "Too many conversations are open. Try again soon.", 10)


def _reachable(fleet: Fleet) -> Fleet:
    """Return the fleet's workers whose address is known. Raises `Unavailable` if none is ready."""
    reachable = replace(fleet, workers=tuple(each for each in fleet.workers if each.chat_url))
    if not reachable.ready:
        sentence = "WORKER_URL: no worker told where it can be reached."
        raise Unavailable("no_worker", sentence, 60)
    return reachable
