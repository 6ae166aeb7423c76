"""Slots and their occupants: inboxes, drops, the rows of the next step. Pure.

A slot is a row of the batch; an occupant is one use of a slot, with an id that is never used again.
The engine holds its lock around every call.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from protocol.personas import Persona
from worker.engine.arrays import Pcm, Tokens
from worker.engine.model import Remembered, StepOut

INBOX_FRAMES = 3  # 240 ms; older frames would only add delay


class Full(RuntimeError):
    """Every slot is taken."""


class SlotFailed(RuntimeError):
    """Work for one slot alone failed; `__cause__` says why."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"slot {slot}")
        self.slot = slot


@dataclass(slots=True)  # not frozen, which takes five times as long to make
class Column:
    """The column of one frame, with its place in the session as in `StepColumns`."""

    tokens: Tokens  # [1 + n_q]
    position: int
    draws: int


@dataclass(slots=True)  # as above
class SlotFrame:
    """One frame of an occupant on its way out.

    `index` counts the occupant's frames from 0; `arrived_s` is the monotonic time of its input.
    """

    pcm: Pcm  # [1920] float32
    text: int
    unforced_text: int  # before forcing
    index: int
    arrived_s: float
    column: Column | None = None  # None: the model has no memory


Deliver = Callable[[SlotFrame], None]


@dataclass(slots=True, eq=False)
class Occupant:
    """One use of a slot, compared by identity."""

    persona: Persona
    deliver: Deliver
    lost: Callable[[], None] = lambda: None  # its slot failed; called once, by the engine thread
    remembered: Remembered | None = None  # that its memory is to begin with
    loop: asyncio.AbstractEventLoop | None = None  # on which frames are delivered
    id: int = 0
    slot: int = -1  # none yet
    dropped: int = 0  # frames
    inbox: deque[tuple[Pcm, float]] = field(default_factory=deque[tuple[Pcm, float]])
    frames: int = 0

    def frame_of(self, out: StepOut, arrived_s: float) -> SlotFrame:
        """Return this occupant's next frame, from its row of a step's output."""
        self.frames += 1
        return SlotFrame(
            pcm=out.pcm[self.slot].copy(),
            text=int(out.text[self.slot]),
            unforced_text=int(out.unforced_text[self.slot]),
            index=self.frames - 1,
            arrived_s=arrived_s,
            column=self._column_of(out),
        )

    def _column_of(self, out: StepOut) -> Column | None:
        columns, slot = out.columns, self.slot
        if columns is None or columns.positions[slot] < 0:
            return None
        position, draws = int(columns.positions[slot]), int(columns.draws[slot])
        return Column(columns.tokens[slot].copy(), position, draws)


class Slots:
    """The occupants of all slots, and the frames that wait for the next step."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._occupants: list[Occupant | None] = [None] * capacity
        self._next_id = 1

    @property
    def used(self) -> int:
        return sum(each is not None for each in self._occupants)

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def add(self, occupant: Occupant) -> None:
        """Put a new occupant into the lowest free slot; slots stay dense. Raises `Full`."""
        if not self.free:
            raise Full(f"all {self.capacity} slots are taken")
        occupant.id, occupant.slot = self._next_id, self._occupants.index(None)
        self._next_id += 1
        self._occupants[occupant.slot] = occupant

    def release(self, occupant: Occupant) -> bool:
        """Free the occupant's slot; return False if it was no longer its own."""
        if not self.holds(occupant):
            return False
        self._occupants[occupant.slot] = None
        occupant.inbox.clear()
        return True

    def at(self, slot: int) -> Occupant | None:
        return self._occupants[slot]

    def hole(self) -> tuple[Occupant, int] | None:
        """Return the occupant of the highest slot and the lowest free slot, if that is below it."""
        highest = next((each for each in reversed(self._occupants) if each is not None), None)
        if highest is None or self.used > highest.slot:
            return None
        return highest, self._occupants.index(None)

    def move(self, occupant: Occupant, slot: int) -> None:
        assert self.holds(occupant) and self._occupants[slot] is None, (occupant.slot, slot)
        self._occupants[occupant.slot], self._occupants[slot] = None, occupant
        occupant.slot = slot

    def holds(self, occupant: Occupant) -> bool:
        return self._occupants[occupant.slot] is occupant

    def put(self, occupant: Occupant, pcm: Pcm, arrived_s: float) -> bool:
        """Add a frame to an inbox; return True if the oldest was dropped because it was full.

        A frame for a slot that changed hands is ignored.
        """
        if not self.holds(occupant):
            return False
        occupant.inbox.append((pcm, arrived_s))
        if len(occupant.inbox) <= INBOX_FRAMES:
            return False
        occupant.inbox.popleft()
        occupant.dropped += 1
        return True

    def oldest(self) -> dict[Occupant, float]:
        """Return when the oldest frame arrived of each occupant that has one."""
        return {each: each.inbox[0][1] for each in self._occupants if each and each.inbox}

    def drop_old(self, is_behind: Callable[[Occupant], bool]) -> int:
        """Drop all frames but the newest of the occupants that are behind; return how many."""
        dropped = 0
        for occupant in self._occupants:
            while occupant and len(occupant.inbox) > 1 and is_behind(occupant):
                occupant.inbox.popleft()
                occupant.dropped += 1
                dropped += 1
        return dropped

    def gather(self, joined: Container[Occupant]) -> list[tuple[Occupant, Pcm, float]]:
        """Take the oldest frame of each occupant in `joined`: the next step's rows."""
        rows: list[tuple[Occupant, Pcm, float]] = []
        for occupant in self._occupants:
            if occupant and occupant.inbox and occupant in joined:
                pcm, arrived_s = occupant.inbox.popleft()
                rows.append((occupant, pcm, arrived_s))
        return rows
