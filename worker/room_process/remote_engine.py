"""The engine of the main process, for the rooms of this one.

Frames come as `take` is given them, and go on to the loops of their sessions as in the engine's own
process: each loop wakes up once for all its personas.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from protocol.personas import Persona
from worker.engine.arrays import Pcm
from worker.engine.conversation.say import Done
from worker.engine.deliveries import Deliveries
from worker.engine.door import KeptFor
from worker.engine.model import ModelFacts, Remembered
from worker.engine.slots import Deliver, Full, Occupant, SlotFrame
from worker.room_process.asking import Asking
from worker.room_process.messages import (
    AskFree,
    CallEnded,
    CatchUp,
    FrameIn,
    FrameOut,
    FromRooms,
    Join,
    Order,
    Say,
    SlotLost,
    Unanswered,
)


class RemoteEngine:
    """As `worker.engine.door.EngineDoor`. Any thread, but for what is called `take…`."""

    def __init__(
        self, facts: ModelFacts, post: Callable[[FromRooms], None], asking: Asking
    ) -> None:
        self.facts = facts
        self._post, self._asking = post, asking
        self._numbers = itertools.count(1)
        self._occupants: dict[int, tuple[Occupant, dict[int, Done]]] = {}  # with its calls
        self._deliveries = Deliveries()

    def refuse_if_full(self) -> None:
        """Raise `Full` where no slot is free now."""
        if refusal := self._asking.refusal(AskFree):
            raise Full(refusal)

    def join(
        self,
        persona: Persona,
        deliver: Deliver,
        lost: Callable[[], None] = lambda: None,
        remembered: Remembered | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        kept_for: KeptFor = None,
    ) -> Occupant:
        """Take a slot, as `Engine.join`; waits for the main process. Raises `Full`."""
        number = next(self._numbers)
        occupant = Occupant(persona, deliver, lost, None, loop, id=number)
        self._occupants[number] = occupant, {}
        refusal = self._asking.refusal(
            lambda call: Join(call, number, persona, remembered, kept_for)
        )
        if refusal:
            self.leave(occupant)  # it may have been taken, where no answer came
            raise Full(refusal)
        return occupant

    def leave(self, occupant: Occupant) -> None:
        """Free a slot, as `Engine.leave`."""
        if self._forget(occupant.id) is not None:
            self._order(occupant, "leave")

    def push(self, occupant: Occupant, pcm: Pcm) -> None:
        """Queue a slot's next frame, `[1920]` float32 in [-1, 1]."""
        self._post(FrameIn(occupant.id, pcm))

    def catch_up(
        self, occupant: Occupant, more: Remembered | None, done: Callable[[], None]
    ) -> None:
        """Remember further columns, as `Engine.catch_up`. `done`: on the thread of `take`."""
        if (call := self._await(occupant, lambda _: done())) is not None:
            self._post(CatchUp(occupant.id, call, more))

    def hush(self, occupant: Occupant, on: bool) -> None:
        """Force silence on a slot, or end it."""
        self._order(occupant, "hush", on=on)

    def say(self, occupant: Occupant, text: str, done: Done) -> None:
        """Say a line, as `Engine.say`. `done`: on the thread of `take`."""
        if (call := self._await(occupant, done)) is not None:
            self._post(Say(occupant.id, call, text))

    def drop_lines(self, occupant: Occupant, *, unless_begun: bool = False) -> None:
        """Drop every line not yet said; with `unless_begun`, not yet begun."""
        self._order(occupant, "drop_lines", unless_begun=unless_begun)

    def forget(self, occupant: Occupant) -> None:
        """Empty a slot's memory but for its prompt."""
        self._order(occupant, "forget")

    def take(self, frame: FrameOut) -> None:
        """Take a frame; `send` passes it on."""
        if (known := self._occupants.get(frame.occupant)) is not None:
            self._deliveries.add(known[0], SlotFrame(*frame[1:]))

    def send(self) -> None:
        """Pass all frames on to the loops of their sessions."""
        self._deliveries.send()

    def take_lost(self, lost: SlotLost) -> None:
        """Tell an occupant that its slot has failed."""
        if (occupant := self._forget(lost.occupant)) is not None:
            self._order(occupant, "leave")  # the main process knows it until then
            occupant.lost()

    def take_end(self, ended: CallEnded) -> None:
        """Tell how a call ended."""
        _, calls = self._occupants.get(ended.occupant, (None, {}))
        if (done := calls.pop(ended.call, None)) is not None:
            done(ended.was_whole)

    def _await(self, occupant: Occupant, done: Done) -> int | None:
        """Return the number of a call whose end `done` gets; None: the slot is gone, it ended."""
        call = next(self._numbers)
        if (known := self._occupants.get(occupant.id)) is not None:
            known[1][call] = done
            if occupant.id in self._occupants or known[1].pop(call, None) is None:
                return call  # or the slot was lost meanwhile, which has ended the call
        done(False)
        return None

    def _order(self, occupant: Occupant, do: Unanswered, **options: Any) -> None:
        self._post(Order(occupant.id, do, options))

    def _forget(self, number: int) -> Occupant | None:
        """Forget an occupant, and end what it waits for; None: it is not known any more."""
        known = self._occupants.pop(number, None)
        if known is None:
            return None
        occupant, calls = known
        for call in tuple(calls):
            if (done := calls.pop(call, None)) is not None:  # `take_end` may be quicker
                done(False)
        return occupant
