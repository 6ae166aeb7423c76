"""What rooms use of an engine: one of this process, or that of the worker's main process. Pure."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from protocol.personas import Persona
from worker.engine.arrays import Pcm
from worker.engine.conversation.say import Done
from worker.engine.model import ModelFacts, Remembered
from worker.engine.slots import Deliver, Occupant

KeptFor = str | int | None  # the job, or the WebSocket client, for which the worker kept a slot


class EngineDoor(Protocol):
    """The calls of `worker.engine.engine.Engine` that a persona makes. Any thread."""

    @property
    def facts(self) -> ModelFacts: ...

    def refuse_if_full(self) -> None:
        """Raise `Full` where no slot is free now."""
        ...

    def join(
        self,
        persona: Persona,
        deliver: Deliver,
        lost: Callable[[], None] = ...,
        remembered: Remembered | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        kept_for: KeptFor = None,
    ) -> Occupant:
        """Take a slot, which from then on is not also kept for a job or client. Raises `Full`."""
        ...

    def leave(self, occupant: Occupant) -> None: ...

    def push(self, occupant: Occupant, pcm: Pcm) -> None: ...

    def catch_up(
        self, occupant: Occupant, more: Remembered | None, done: Callable[[], None]
    ) -> None: ...

    def hush(self, occupant: Occupant, on: bool) -> None: ...

    def say(self, occupant: Occupant, text: str, done: Done) -> None: ...

    def drop_lines(self, occupant: Occupant, *, unless_begun: bool = False) -> None: ...

    def forget(self, occupant: Occupant) -> None: ...
