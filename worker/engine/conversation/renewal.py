"""Calls without end: a session's mind is made anew from its own tokens before its ring is full.

Upstream's ring then slides: it loses the opening (the persona) and goes on past the length that the
model was trained at, where quality falls (docs/decisions.md). Until then nothing is changed. Before
that, in the gaps between steps, another mind reads the session's opening and up to half a context
of its own columns, catches up with the call, and takes the old one's place between two steps, at a
pause (`successor.py`). A model that is lost (`vitals.py`) gets its opening alone.
Owns the history and the vitals of every slot, the queue of those that are due, and the one mind
that reads. Knows no persona, no room and no clock. Engine thread only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from worker.engine import metrics
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.engine.background import BackgroundWork, Chore
from worker.engine.conversation.history import History
from worker.engine.conversation.replay import LmStates, Replay
from worker.engine.conversation.responsiveness import Responsiveness
from worker.engine.network.language import Prefill, positions
from worker.engine.network.memory import Snapshot
from worker.engine.slots import SlotFailed

log = structlog.get_logger(__name__)

Reason = Literal["age", "request", "forget", "lost"]
FRESH: tuple[Reason, ...] = ("forget", "lost")  # renewed from the opening alone

LEAST_PIECE, MOST_PIECE = 4, 64  # columns read at a time, as many as fit into the gaps
STUCK_STEPS = 8  # a piece that found no gap for so long is too large
KEY = "renewal"


@dataclass(frozen=True, slots=True)
class RenewalRules:
    """When sessions are renewed, and from how much."""

    at_share: float = 0.92  # of the context: the age at which a mind is renewed
    keep_share: float = 0.5  # of the context: the most of its own columns that a session keeps
    # For a pause; less where many wait, and at most half of what is left until the ring is full.
    patience_frames: int = 125
    spoken_frames: int = 250  # 20 s; a model that is lost was spoken to for so long


class RenewalStep(LmStates, Protocol):
    """What is needed of the step."""

    @property
    def background(self) -> BackgroundWork:
        """Work for the gaps."""
        ...

    @property
    def capacity(self) -> int:
        """Slots in the batch."""
        ...

    @property
    def column(self) -> Tokens:
        """What the model read in the last step."""
        ...

    @property
    def next_text(self) -> tuple[Tokens, Tokens]:
        """Text used in the last step, and before forcing."""
        ...

    @property
    def word_chance(self) -> npt.NDArray[np.float64]:
        """What the model gave to words in the last step."""
        ...

    def prefill(self, frames: int) -> Prefill:
        """Make a mind beside the slots."""
        ...


class Renewal:
    """Keeps every slot's mind young; one is renewed at a time."""

    def __init__(
        self,
        step: RenewalStep,
        context: int,
        no_words: tuple[int, int],
        card: int,
        rules: RenewalRules,
    ) -> None:
        """`no_words` are the padding tokens, `card` the highest token of any stream."""
        self._step, self._context, self._rules = step, context, rules
        self._due_at = int(context * rules.at_share)
        self._keep = int(context * rules.keep_share)
        self._patience = min(rules.patience_frames, (context - self._due_at) // 2)
        # What may pass by while a mind reads and waits for a pause.
        self._slack = self._keep // 2 + self._patience + STUCK_STEPS
        streams = step.column.shape[1]
        self.history = History(step.capacity, self._keep + self._slack, streams, card)
        self.vitals = Responsiveness(step.capacity, no_words)
        self._openings: dict[int, Snapshot | None] = {}
        self._due: dict[int, Reason] = {}
        self._current: int | None = None
        self._mind: Prefill | None = None
        self._piece = LEAST_PIECE
        self._steps = 0
        self._look_every = max(1, context // 64)

    @property
    def keep_frames(self) -> int:
        """How many of its own columns a session keeps, at most."""
        return self._keep

    @property
    def size_bytes(self) -> int:
        """Bytes of the mind that reads, from the first renewal on."""
        return 0 if self._mind is None else self._mind.size_bytes

    def rehearse(self, opening_frames: int) -> None:
        """Make the mind that reads, for openings of so many positions, and try pieces of all sizes.

        Else the first renewal might find its memory taken, and all calls wait while kernels load.
        """
        mind = self._mind_for(opening_frames)
        piece = LEAST_PIECE
        while piece <= min(MOST_PIECE, mind.frames):
            mind.begin()
            mind.read(np.zeros((piece, mind.initial.shape[1]), dtype=np.int64))
            piece *= 2

    # Who is there.

    def join(self, slot: int, opening: Snapshot | None = None) -> None:
        """Begin with a new session, whose mind is `opening`, or empty."""
        self.leave(slot)
        self.open_with(slot, opening)

    def open_with(self, slot: int, opening: Snapshot | None) -> None:
        """A session's mind is now `opening`, and nothing else: a prompt that took its time."""
        self._drop(slot)
        self._openings[slot] = opening
        self.history.clear(slot)
        self.vitals.clear(slot)

    def leave(self, slot: int) -> None:
        """Forget a session."""
        self._drop(slot)
        self._openings.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """Follow a session to another slot."""
        self.leave(target)
        self._openings[target] = self._openings.pop(source, None)
        self.history.move(source, target)
        self.vitals.move(source, target)
        reason = self._due.get(source)
        self._drop(source)
        if reason is not None:
            self.ask(target, reason)

    def heal(self, slot: int) -> None:
        """A slot's mind was emptied since it went NaN: open it again, without what it read."""
        opening = self._openings.get(slot)
        if opening is not None:
            self._step.memory.load(slot, opening)
        self.open_with(slot, opening)

    # When.

    def ask(self, slot: int, reason: Reason) -> None:
        """Renew a slot as soon as there is a gap and a pause; `forget` keeps the opening alone."""
        waits = self._due.get(slot)
        if slot not in self._openings or waits in FRESH or (waits and reason not in FRESH):
            return
        self._drop(slot)
        self._due[slot] = reason
        self._restart(unless_busy=True)

    def watch(self, pcm: Pcm, running: Mask, hushed: Sequence[int]) -> None:
        """Take note of a step: what was heard `[B, samples]`, who ran, who was kept silent."""
        self.history.add(self._step.column, running)
        self.vitals.watch(pcm, self._step.next_text[0], self._step.word_chance, running, hushed)
        self._steps += 1
        if self._steps % self._look_every == 0:
            self._look_at_ages()
        self._look_for_lost()

    def _look_at_ages(self) -> None:
        ages = self._step.memory.tensors["mind.transformer.offset"].cpu().numpy()
        for slot in self._openings:
            if ages[slot] >= self._due_at:
                self.ask(slot, "age")

    def _look_for_lost(self) -> None:
        """Have a model forget the call in whose whole context no word came, unless one does now."""
        for slot in [slot for slot, reason in self._due.items() if reason == "lost"]:
            if self.vitals.mute_frames(slot) < self._context:
                self._drop(slot)
        for slot in self.vitals.lost(self._context, self._rules.spoken_frames):
            self.ask(slot, "lost")

    # How.

    def _drop(self, slot: int) -> None:
        self._due.pop(slot, None)
        if self._current == slot:
            self._restart(unless_busy=False)

    def _restart(self, *, unless_busy: bool) -> None:
        if unless_busy and KEY in self._step.background:
            return
        self._step.background.cancel(KEY)
        self._current = None
        if self._due:
            self._step.background.add(KEY, self._work())

    def _work(self) -> Chore:
        """Renew whoever is due, those that pause first."""
        while self._due:
            slot = next(filter(self.vitals.pauses, self._due), next(iter(self._due)))
            try:
                yield from self._renew(slot, self._due[slot])
            except Exception as error:
                raise SlotFailed(slot) from error

    def _renew(self, slot: int, reason: Reason) -> Chore:
        self._current = slot
        yield "renewal begins"
        successor = self._succeed(slot, reason)
        since: int | None = None  # the step in which the wait for a pause began
        while not successor.outrun:
            if not successor.caught_up:
                yield from self._read_piece(successor)
                continue
            since = self._steps if since is None else since
            if not self._may_swap(slot, since):
                yield None
                continue
            asked_at = self._steps
            yield "renewal swaps"
            if self._steps == asked_at:
                successor.take_over(self._step)
                self._done(slot, reason)
                return
        log.warning("renewal_fell_behind", slot=slot, reason=reason)

    def _succeed(self, slot: int, reason: Reason) -> Replay:
        mind = self._mind_for(self._opening_frames(slot))
        columns = None if reason in FRESH else self._kept(slot)
        return Replay(slot, mind, self._openings[slot], self.history, columns)

    def _mind_for(self, opening_frames: int) -> Prefill:
        """The mind that reads, with room for such an opening."""
        frames = min(self._context, opening_frames + self._keep + self._slack)
        if self._mind is None or self._mind.frames < frames:
            self._mind = self._step.prefill(frames)
        return self._mind

    def _opening_frames(self, slot: int) -> int:
        opening = self._openings[slot]
        return 1 if opening is None else positions(opening)

    def _kept(self, slot: int) -> int:
        """How many columns are read again: half as many where others wait for the mind that reads.

        Never so many that the next renewal is due before a quarter of the context has passed.
        """
        most = self._keep // min(2, len(self._due))
        spare = self._due_at - self._opening_frames(slot) - self._context // 4
        return max(0, min(most, spare))

    def _may_swap(self, slot: int, since: int) -> bool:
        """Whether the slot pauses, or has been waited for long enough: the less, the more wait."""
        patience = self._patience // len(self._due)
        return self.vitals.pauses(slot) or self._steps - since >= patience

    def _read_piece(self, successor: Replay) -> Chore:
        """Read on, in pieces as large as the gaps allow."""
        asked_at = self._steps
        yield f"renewal of {self._piece}"
        waited = self._steps - asked_at
        if not successor.outrun:
            successor.read(self._piece)
        if waited > STUCK_STEPS:
            self._piece = max(LEAST_PIECE, self._piece // 2)
        elif waited == 0:
            self._piece = min(MOST_PIECE, self._piece * 2)

    def _done(self, slot: int, reason: Reason) -> None:
        if reason in FRESH:
            self.vitals.clear(slot)
        self._current = None
        del self._due[slot]
        metrics.RENEWED_SLOTS.labels(reason=reason).inc()
        (log.warning if reason == "lost" else log.debug)("slot_renewed", slot=slot, reason=reason)
