"""A persona's slot in the engine, and what it asks of it. Runs on the room's event loop.

The engine delivers frames on that loop; its other calls are passed on to it. Without a slot, as
before it is taken and after it is freed, nothing is asked.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

from protocol.room_spec import PersonaSpec
from worker.backup.backup import PersonaBackup
from worker.engine.arrays import Pcm
from worker.engine.door import EngineDoor
from worker.engine.model import Remembered
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.loops import call_on_loop
from worker.room.persona.lines import Line

FAILURES_MOST = 4  # one soon after another, before the persona gives up
APART_S = 600.0  # a failure so long after the one before is the first again: calls last for hours
RETAKE_S = 2.0  # between two looks for a free slot


class PersonaSlot:
    """Takes a slot, replaces one that fails, and frees it."""

    def __init__(
        self,
        spec: PersonaSpec,
        engine: EngineDoor,
        backup: PersonaBackup,
        on_frame: Callable[[SlotFrame], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`on_failed(detail)` is called where a slot failed and the persona has forgotten."""
        self._spec = spec
        self._engine = engine
        self._backup = backup
        self._on_frame = on_frame
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._occupant: Occupant | None = None
        self._takes = 0  # how many slots it has taken so far
        self.remembered: Remembered | None = None  # what the slot's memory began with
        self._is_hushed = self._is_to_be_hushed = False
        self._failures, self._failed_s = 0, -math.inf  # of slots, and when the last one failed
        self._retaking: asyncio.TimerHandle | None = None

    @property
    def is_taken(self) -> bool:
        """Whether there is a slot."""
        return self._occupant is not None

    def take(self, remembered: Remembered | None = None, job_id: str | None = None) -> None:
        """Take a slot that remembers these columns, one that was kept for a job. Raises `Full`."""
        persona = self._backup.begin(self._spec, remembered)
        self._takes += 1
        failed = partial(call_on_loop, self._loop, self._replace, self._takes)
        self._occupant = self._engine.join(
            persona, self._on_frame, failed, remembered, self._loop, job_id
        )
        self.remembered = remembered
        self._is_hushed = False
        self.hush(self._is_to_be_hushed)

    def take_anew(self, remembered: Remembered | None) -> None:
        """Free the slot and take one that remembers these columns, now or once one is free."""
        self.free()
        self._retake(remembered)

    async def catch_up(self, more: Remembered | None) -> None:
        """Return once the memory is there, with these columns, too. It gets no frame meanwhile."""
        there = asyncio.Event()
        if self._occupant is not None:
            done = partial(call_on_loop, self._loop, there.set)
            self._engine.catch_up(self._occupant, more, done)
            await there.wait()

    def free(self) -> None:
        """Free the slot."""
        if self._retaking is not None:
            self._retaking.cancel()
        if self._occupant is not None:
            self._engine.leave(self._occupant)
            self._occupant = None

    def push(self, pcm: Pcm) -> None:
        """Give the model the sound that the persona hears, `[1920]` float32."""
        if self._occupant is not None:
            self._engine.push(self._occupant, pcm)

    def hush(self, is_hushed: bool) -> None:
        """Keep the model from speaking, or let it; a slot that is taken later is hushed alike."""
        self._is_to_be_hushed = is_hushed
        if is_hushed != self._is_hushed and self._occupant is not None:
            self._is_hushed = is_hushed
            self._engine.hush(self._occupant, is_hushed)

    def say(self, line: Line, on_ended: Callable[[Line, bool], None]) -> None:
        """Have the model say a line; `on_ended(line, was_whole)` is called once, on the loop."""
        if self._occupant is None:
            on_ended(line, False)
            return

        def end(was_whole: bool) -> None:
            """Pass the end on. Engine thread."""
            call_on_loop(self._loop, on_ended, line, was_whole)

        self._engine.say(self._occupant, line.text, end)

    def drop_lines(self, *, unless_begun: bool = False) -> None:
        """Let the model say no more of its lines."""
        if self._occupant is not None:
            self._engine.drop_lines(self._occupant, unless_begun=unless_begun)

    def forget(self) -> None:
        """Start the model's memory anew at its next pause."""
        if self._occupant is not None:
            self._engine.forget(self._occupant)

    def _replace(self, take: int) -> None:
        """Take another slot, with a fresh memory, unless too many have failed.

        `take` is the number of the one that failed: it may have been given up since.
        """
        if self._occupant is None or take != self._takes:
            return
        self._occupant = None
        before_s, self._failed_s = self._failed_s, self._loop.time()
        self._failures = self._failures + 1 if self._failed_s - before_s < APART_S else 1
        if self._failures >= FAILURES_MOST:
            self._on_failed("The persona cannot continue: its slots failed too often.")
        elif self._retake():
            self._on_failed("The persona had to start anew and has forgotten the conversation.")
        else:
            self._on_failed("The persona has lost its slot and waits for another one.")

    def _retake(self, remembered: Remembered | None = None) -> bool:
        """Take a slot, now or once one is free: another persona may have taken the last one."""
        try:
            self.take(remembered)
        except Full:
            self.remembered = None
            self._retaking = self._loop.call_later(RETAKE_S, self._retake, remembered)
            return False
        return True
