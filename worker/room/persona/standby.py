"""The memory of one persona that stands by: what the room's host has kept of it up to now.

Room's event loop. The slot gets no frame before the persona takes over.
"""

import asyncio

import structlog

from worker.backup.backup import PersonaBackup, Recalled
from worker.room.persona.slot import PersonaSlot

log = structlog.get_logger(__name__)

MEMORY_WITHIN_S = 30.0  # a minute of columns, on a CPU
REST_WITHIN_S = 2.0  # the columns of the last seconds


class Standby:
    """Makes a slot's memory in two parts: most of it in advance, the rest at the end."""

    def __init__(self, slot: PersonaSlot, backup: PersonaBackup) -> None:
        self._slot, self._backup = slot, backup
        self.is_on = False

    async def prepare(self, job_id: str) -> None:
        """Take a slot, and return once its memory is there. Raises `Full`, `TimeoutError`."""
        recalled = await self._backup.look()
        self._slot.take(recalled and recalled.remembered, job_id)
        async with asyncio.timeout(MEMORY_WITHIN_S):
            await self._slot.catch_up(None)
        self.is_on = True

    async def finish(self) -> Recalled | None:
        """Let the slot remember what was kept since; return what the host has kept in all.

        Where that does not go on from what the slot remembers, as after a `forget` or where the
        slot has failed, it is taken anew, and is silent until its memory is there.
        """
        self.is_on = False
        recalled = await self._backup.recall()
        now, known = recalled and recalled.remembered, self._slot.remembered
        more = now.since(known) if now is not None and known is not None else None
        if more is None and (now is not None or known is not None):
            self._slot.take_anew(now)
        elif more is not None:
            try:
                async with asyncio.timeout(REST_WITHIN_S):
                    await self._slot.catch_up(more)
            except TimeoutError:  # it is silent until then, and has lines to say all the same
                log.warning("memory_late")
        return recalled
