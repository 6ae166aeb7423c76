"""The memory of one persona that stands by: what the room's host has kept of it up to now.

Room's event loop. The slot gets no frame before the persona takes over.
"""

import asyncio
from collections.abc import Callable

from worker.backup.backup import PersonaBackup, Recalled
from worker.engine.engine import Engine
from worker.engine.model import Remembered
from worker.engine.slots import Occupant
from worker.room.background_tasks import call_on_loop

MEMORY_WITHIN_S = 30.0  # a minute of columns, on a CPU
REST_WITHIN_S = 2.0  # the columns of the last seconds

TakeSlot = Callable[[Remembered | None], Occupant]


class Standby:
    """Makes a slot's memory in two parts: most of it in advance, the rest at the end."""

    def __init__(self, engine: Engine, backup: PersonaBackup, take_slot: TakeSlot) -> None:
        self._engine, self._backup, self._take_slot = engine, backup, take_slot
        self._loop = asyncio.get_running_loop()
        self._known: Remembered | None = None

    async def prepare(self) -> None:
        """Take a slot, and return once its memory is there. Raises `Full`, `TimeoutError`."""
        recalled = await self._backup.look()
        self._known = recalled and recalled.remembered
        self._occupant = self._take_slot(self._known)
        async with asyncio.timeout(MEMORY_WITHIN_S):
            await self._catch_up(None)

    async def finish(self) -> Recalled | None:
        """Let the slot remember what was kept since; return what the host has kept in all.

        Where that does not go on from what the slot remembers, as after a `forget`, it is taken
        anew, and is silent until its memory is there.
        """
        recalled = await self._backup.recall()
        now, known = recalled and recalled.remembered, self._known
        more = now.since(known) if now is not None and known is not None else None
        if more is None and (now is not None or known is not None):
            self._engine.leave(self._occupant)
            self._occupant = self._take_slot(now)
        elif more is not None:
            async with asyncio.timeout(REST_WITHIN_S):
                await self._catch_up(more)
        return recalled

    async def _catch_up(self, more: Remembered | None) -> None:
        there = asyncio.Event()
        self._engine.catch_up(self._occupant, more, lambda: call_on_loop(self._loop, there.set))
        await there.wait()
