"""Renew LM states before their rings are full, so that calls may last for ever.

Upstream's ring slides once it is full: it loses the prompt and goes past the length that the model
was trained at, where quality falls (docs/decisions.md). So at a share of the context a second LM
state reads the session's prompt state and up to half a context of the session's own columns, in the
gaps between steps, and replaces the session's own at a pause (`replay.py`). An unresponsive model
(`responsiveness.py`) gets its prompt state alone. Engine thread only.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import structlog

from worker.engine import metrics
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.engine.background import BackgroundWork, Pieces
from worker.engine.conversation.history import History
from worker.engine.conversation.renewal_rules import STUCK_STEPS, RenewalRules, patience
from worker.engine.conversation.replay import Replay
from worker.engine.conversation.responsiveness import Responsiveness
from worker.engine.network.language import Prefill, positions
from worker.engine.network.memory import Memory, Snapshot
from worker.engine.slots import SlotFailed

log = structlog.get_logger(__name__)

Reason = Literal["age", "forget", "unresponsive", "resume"]
FRESH: tuple[Reason, ...] = ("forget", "unresponsive")  # renewed from the prompt state alone

LEAST_PIECE, MOST_PIECE = 4, 64  # columns read at a time, as many as fit into the gaps
KEY = "renewal"


class Renewal:
    """Renews the LM states of a batch, one at a time."""

    def __init__(
        self,
        memory: Memory,
        background: BackgroundWork,
        prefill: Callable[[int], Prefill],
        history: History,
        responsiveness: Responsiveness,
        context: int,
        rules: RenewalRules,
        on_renewed: Callable[[int], None],
    ) -> None:
        """`prefill` makes an LM state beside the slots, with room for so many positions.

        `on_renewed` is called with each slot that was renewed.
        """
        self.history, self.responsiveness = history, responsiveness
        self._memory, self._background, self._prefill = memory, background, prefill
        self._on_renewed = on_renewed
        self._context, self._rules = context, rules
        self._due_at = int(context * rules.at_share)
        self.keep_frames = int(context * rules.keep_share)
        self._patience = patience(context, rules)
        self._starts: dict[int, Snapshot | None] = {}  # prompt states; None: the model has none
        self._due: dict[int, Reason] = {}
        self._unread: dict[int, int] = {}  # columns that a slot is to read after those it has read
        self._current: int | None = None
        self.reader: Prefill | None = None  # the second LM state
        self._piece = LEAST_PIECE
        self._steps = 0

    def rehearse(self, prompt_frames: int) -> None:
        """Make the second LM state and try pieces of all sizes.

        Otherwise the first renewal might find its memory taken, and all calls would wait while
        kernels load.
        """
        reader = self._reader_for(prompt_frames)
        piece = 1  # as are read first, and at a swap
        while piece <= min(MOST_PIECE, reader.frames):
            reader.begin()
            reader.read(np.zeros((piece, reader.initial.shape[1]), dtype=np.int64))
            piece *= 2

    def begin(self, slot: int, start: Snapshot | None) -> None:
        """Note that a slot's LM state is now its prompt state `start`, or empty."""
        self._drop(slot)
        self._unread.pop(slot, None)
        self._starts[slot] = start
        self.history.clear(slot)
        self.responsiveness.clear(slot)

    def resume(self, slot: int, columns: Tokens) -> None:
        """Renew a slot at once, as if it had read these columns `[T, 1 + n_q]` since `begin`."""
        self.history.append(slot, *columns)
        self.ask(slot, "resume")

    def read_on(self, slot: int, columns: Tokens) -> None:
        """Let a slot that has resumed and does not run read these columns `[T, 1 + n_q]`, too."""
        self.history.append(slot, *columns)
        self._unread[slot] = len(columns)
        self.ask(slot, "resume")

    def leave(self, slot: int) -> None:
        """Forget a session."""
        self._drop(slot)
        self._unread.pop(slot, None)
        self._starts.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """Follow a session to another slot."""
        self.leave(target)
        self._starts[target] = self._starts.pop(source, None)
        self.history.move(source, target)
        self.responsiveness.move(source, target)
        reason = self._due.get(source)
        if source in self._unread:
            self._unread[target] = self._unread.pop(source)
        self._drop(source)
        if reason is not None:
            self.ask(target, reason)

    def restart(self, slot: int) -> None:
        """Load the prompt state into a slot that was emptied because it went NaN."""
        start = self._starts.get(slot)
        if start is not None:
            self._memory.load(slot, start)
        self.begin(slot, start)

    def ask(self, slot: int, reason: Reason) -> None:
        """Renew a slot at its next pause, from the prompt state alone if `reason` is in `FRESH`."""
        earlier = self._due.get(slot)
        if slot not in self._starts or earlier in FRESH or (earlier and reason not in FRESH):
            return
        self._drop(slot)
        self._due[slot] = reason
        waits = self._current is not None and self._due[self._current] != "resume"
        if KEY not in self._background or (reason == "resume" and waits):
            self._restart_work()

    def watch(
        self,
        pcm: Pcm,
        columns: Tokens,
        text: Tokens,
        word_chance: npt.NDArray[np.float64],
        running: Mask,
        hushed: Sequence[int],
    ) -> None:
        """Record a step.

        `pcm` `[B, samples]` is what was heard, `columns` `[B, 1 + n_q]` what the model read, `text`
        `[B]` the next text, `word_chance` `[B]` the chance it gave to words.
        """
        self.history.add(columns, running)
        self.responsiveness.watch(pcm, text, word_chance, running, hushed)
        self._steps += 1
        if self._steps % max(1, self._context // 64) == 0:
            self._ask_for_old()
        self._ask_for_unresponsive()

    def _ask_for_old(self) -> None:
        ages = self._ages
        for slot in self._starts:
            if ages[slot] >= self._due_at:
                self.ask(slot, "age")

    def _ask_for_unresponsive(self) -> None:
        """Renew models that no longer answer; call it off for those that have said a word since."""
        for slot in [slot for slot, reason in self._due.items() if reason == "unresponsive"]:
            if self.responsiveness.mute_frames(slot) < self._context:
                self._drop(slot)
        for slot in self.responsiveness.unresponsive(self._context, self._rules.spoken_frames):
            self.ask(slot, "unresponsive")

    def _drop(self, slot: int) -> None:
        self._due.pop(slot, None)
        if self._current == slot:
            self._restart_work()

    def _restart_work(self) -> None:
        self._background.cancel(KEY)
        self._current = None
        if self._due:
            self._background.add(KEY, self._work())

    def _work(self) -> Pieces:
        """Renew every slot that is due: those that resume first, then those that pause."""
        while self._due:
            slot = min(self._due, key=self._turn)
            try:
                yield from self._renew(slot, self._due[slot])
            except Exception as error:
                raise SlotFailed(slot) from error

    def _turn(self, slot: int) -> tuple[bool, bool]:
        return self._due[slot] != "resume", not self.responsiveness.pauses(slot)

    def _renew(self, slot: int, reason: Reason) -> Pieces:
        self._current = slot
        yield "renewal begins"
        replay = self._replay(slot, reason)
        caught_up_at: int | None = None  # the step in which the wait for a pause began
        while not replay.outrun:
            if not replay.caught_up:
                yield from self._read_piece(replay)
                continue
            caught_up_at = self._steps if caught_up_at is None else caught_up_at
            if not self._may_swap(slot, caught_up_at):
                yield None
                continue
            asked_at = self._steps
            yield "renewal swaps"
            if self._steps == asked_at:
                replay.take_over(self._memory)
                self._done(slot, reason)
                return
        log.warning("renewal_fell_behind", slot=slot, reason=reason)

    def _replay(self, slot: int, reason: Reason) -> Replay:
        """Return a replay of a slot's kept columns; of those not read yet, where they fit."""
        reader = self._reader_for(self._start_frames(slot))
        read, unread = int(self._ages[slot]), self._unread.get(slot)
        if unread is not None and self._fits(read, unread, reader):
            start, columns = self._memory.save(slot, "lm", read), unread
            return Replay(slot, reader, start, self.history, columns)
        columns = None if reason in FRESH else self._kept(slot)
        return Replay(slot, reader, self._starts[slot], self.history, columns)

    def _fits(self, read: int, unread: int, reader: Prefill) -> bool:
        """Whether columns that are not read yet can follow those that are."""
        most = min(reader.frames, self._due_at) - read
        return unread <= min(most, self.history.frames)

    @property
    def _ages(self) -> npt.NDArray[np.int64]:
        """How many positions each slot's LM state has read, `[B]`."""
        return self._memory.tensors["lm.transformer.offset"].cpu().numpy()

    def _reader_for(self, prompt_frames: int) -> Prefill:
        """Return the second LM state, with room for a prompt state of so many positions."""
        frames = min(self._context, prompt_frames + self.history.frames)
        if self.reader is None or self.reader.frames < frames:
            self.reader = self._prefill(frames)
        return self.reader

    def _start_frames(self, slot: int) -> int:
        start = self._starts[slot]
        return 1 if start is None else positions(start)

    def _kept(self, slot: int) -> int:
        """Return how many columns are read again: half as many where other slots wait.

        Never so many that the next renewal is due before a quarter of the context has passed.
        """
        most = self.keep_frames // min(2, len(self._due))
        spare = self._due_at - self._start_frames(slot) - self._context // 4
        return max(0, min(most, spare))

    def _may_swap(self, slot: int, caught_up_at: int) -> bool:
        """Whether the slot pauses, or has been waited for long enough: the less, the more wait."""
        if self._due[slot] == "resume":  # it is silent until then
            return True
        patience = self._patience // len(self._due)
        return self.responsiveness.pauses(slot) or self._steps - caught_up_at >= patience

    def _read_piece(self, replay: Replay) -> Pieces:
        """Read on, in pieces as large as the gaps allow."""
        asked_at = self._steps
        yield f"renewal of {self._piece}"
        waited = self._steps - asked_at
        if not replay.outrun:
            replay.read(self._piece)
        if waited > STUCK_STEPS:
            self._piece = max(LEAST_PIECE, self._piece // 2)
        elif waited == 0:
            self._piece = min(MOST_PIECE, self._piece * 2)

    def _done(self, slot: int, reason: Reason) -> None:
        if reason in FRESH:
            self.responsiveness.clear(slot)
        self._current = None
        del self._due[slot]
        self._unread.pop(slot, None)
        self._on_renewed(slot)
        metrics.RENEWED_SLOTS.labels(reason=reason).inc()
        tell = log.warning if reason == "unresponsive" else log.debug
        tell("slot_renewed", slot=slot, reason=reason)
