"""Conversations without a room: finds a worker with a free slot and opens a WebSocket to it.

The worker reserves the slot itself, at once; a worker that refuses is passed over. Rooms that wait
for slots, and slots that are reserved for rooms, come first.
"""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse

from protocol.chat_ticket import ChatTickets
from protocol.heartbeat import Heartbeat
from protocol.personas import Catalogue, Persona
from token_service.auth.callers import Caller
from token_service.errors import Unavailable, full
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.scheduler import LEAST, STRANGERS_SHARE, reserve

log = structlog.stdlib.get_logger(__name__)

CHATS = 200  # of this process; each holds two connections
ANSWER_S = 5.0  # for a worker to take a conversation
LARGEST_BYTES = 70_000  # of a worker's message
THIS = "this conversation"


class Chats:
    """Opens conversations, and counts the open ones by caller."""

    def __init__(
        self,
        catalogue: Catalogue,
        prompts: PromptLimits,
        tickets: ChatTickets,
        http: ClientSession,
    ) -> None:
        self._catalogue = catalogue
        self._prompts = prompts
        self._tickets = tickets
        self._http = http
        self._open = Counter[str]()

    async def open(self, persona: Persona, fleet: Fleet) -> ClientWebSocketResponse:
        """Return the connection to a worker that has taken the conversation.

        Raises `InvalidInput` for a voice or a prompt that no worker can take, `Unavailable` where
        no worker has a free slot.
        """
        fleet.check_voices([persona], self._catalogue)
        await self._prompts.check([persona], fleet)
        if obstacle := fleet.obstacle(1):
            raise obstacle
        reachable = replace(fleet, workers=tuple(each for each in fleet.workers if each.chat_url))
        if not reachable.ready:
            sentence = "WORKER_URL: no worker told where it can be reached."
            raise Unavailable("no_worker", sentence, 60)
        while (worker_id := reserve(reachable, THIS, 1, 0.0)) is not None:
            worker = reachable.worker(worker_id)
            assert worker is not None
            if (socket := await self._connect(worker, persona)) is not None:
                return socket
            others = tuple(each for each in reachable.workers if each is not worker)
            reachable = replace(reachable, workers=others)
        raise full()

    @contextmanager
    def counted(self, caller: Caller, fleet: Fleet) -> Generator[None]:
        """Count a conversation while it is open. Raises `Unavailable` if there are too many.

        A guest has one at a time, one address of strangers no more than a share of all slots.
        """
        key, most = caller.counted_as, CHATS
        if caller.guest is not None:
            most = 1
        elif caller.is_stranger:
            most = max(fleet.slots_total // STRANGERS_SHARE, LEAST)
        if self._open.total() >= CHATS or self._open[key] >= most:
            raise Unavailable("busy", "Too many conversations are open. Try again soon.", 10)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    async def _connect(self, worker: Heartbeat, persona: Persona) -> ClientWebSocketResponse | None:
        """Return the connection, or None where the worker refuses or does not answer."""
        ticket = self._tickets.write(persona, worker.worker_id)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._http.ws_connect(
                    worker.chat_url,
                    headers={"Authorization": f"Bearer {ticket}"},
                    max_msg_size=LARGEST_BYTES,
                )
        except (ClientError, OSError, TimeoutError) as error:
            reason = getattr(error, "status", type(error).__name__)
            log.warning("chat_not_taken", worker=worker.worker_id, reason=reason)
            return None
