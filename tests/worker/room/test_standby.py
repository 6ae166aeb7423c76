"""A persona that stands by and takes over; stand-ins replace its slot and the store of backups."""

import asyncio
from typing import Any

import numpy as np
import pytest

from worker.backup.backup import Recalled
from worker.engine.model import Remembered
from worker.room.persona import standby
from worker.room.persona.standby import Standby

JOB_ID = "AJ_1"
LINES = (("1", "Dinner is ready."),)


class Backup:
    """A backup that has a second more at each look."""

    def __init__(self) -> None:
        self.frames = 13

    async def look(self) -> Recalled:
        """Return what the other host has kept up to now."""
        frames, self.frames = self.frames, self.frames + 13
        tokens = np.arange(frames, dtype=np.int64)[:, None]
        return Recalled(Remembered(tokens, seed=1, draws=frames), LINES)

    recall = look


class Slot:
    """A slot whose memory is there at once, and then never again."""

    def __init__(self) -> None:
        self.remembered: Remembered | None = None
        self.kept_for: list[str] = []

    def take(self, remembered: Remembered | None, *job_id: str) -> None:
        self.remembered = remembered
        self.kept_for.extend(job_id)

    take_anew = take

    async def catch_up(self, more: Remembered | None) -> None:
        if more is not None:
            await asyncio.Event().wait()


async def test_a_persona_whose_memory_is_late_says_the_lines_that_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines that the other host had to say are returned although the last columns are late."""
    monkeypatch.setattr(standby, "REST_WITHIN_S", 0.01)
    slot: Any = Slot()
    backup: Any = Backup()
    stands_by = Standby(slot, backup)
    await stands_by.prepare(JOB_ID)

    recalled = await stands_by.finish()

    assert recalled is not None and recalled.lines == LINES


async def test_a_slot_that_failed_meanwhile_remembers_the_whole_conversation() -> None:
    """A slot that was replaced while the persona stood by gets all that the host has kept."""
    slot: Any = Slot()
    backup: Any = Backup()
    stands_by = Standby(slot, backup)
    await stands_by.prepare(JOB_ID)
    slot.remembered = None  # the engine gave it up, and its successor is empty

    recalled = await stands_by.finish()

    assert recalled is not None and slot.remembered == recalled.remembered
    assert slot.kept_for == [JOB_ID]  # for the first one alone
