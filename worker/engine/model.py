"""What the engine needs of any model: a batched step, and the text of its tokens.

Pure: numpy only. `load.py` makes one of Moshi or PersonaPlex, `echo.py` the echo.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from protocol.personas import Persona
from protocol.sampling import UsualSampling
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.engine.conversation.repertoire import Repertoire
from worker.engine.conversation.say import Done
from worker.engine.recognition.listeners import Recognition


@dataclass(frozen=True, slots=True)
class StepColumns:
    """The columns that a model read in one step, a row for each slot that ran."""

    tokens: Tokens  # [B, 1 + n_q]
    # [B] how many columns its memory had before; below 0: it is not to be remembered
    positions: Tokens
    draws: Tokens  # [B] how often the session's sampling has drawn since it began


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session's latest columns, from which a slot makes its memory anew."""

    tokens: Tokens  # [T, 1 + n_q]
    seed: int  # of its sampling
    draws: int  # after the last column

    def since(self, earlier: "Remembered") -> "Remembered | None":
        """Return the columns after those of `earlier`; None where they do not go on from them."""
        new = self.draws - earlier.draws
        if not 0 <= new < len(self.tokens) or self.seed != earlier.seed:
            return None
        if not np.array_equal(self.tokens[len(self.tokens) - new - 1], earlier.tokens[-1]):
            return None
        return replace(self, tokens=self.tokens[len(self.tokens) - new :])


@dataclass(frozen=True, slots=True)
class StepOut:
    """Output of one step, a row for each slot; rows outside `valid` mean nothing."""

    pcm: Pcm  # [B, 1920] float32 in [-1, 1]
    text: Tokens  # [B] the text token used
    unforced_text: Tokens  # [B] the text token before forcing
    valid: Mask  # [B] False where the row was masked or still warms up (acoustic delay)
    columns: StepColumns | None = None  # None: the model has no memory


class BatchedStep(Protocol):
    """One model call for all slots. Every method is called from the engine thread only."""

    @property
    def capacity(self) -> int: ...

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        """Reset a slot for this persona: memory emptied, prompt and sampling in place.

        With `remembered`, the slot is silent until its memory holds these columns, too.
        """
        ...

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Let a slot that has not run since its join remember these further columns, too.

        `done` is called once its memory holds all that it was given, or nothing is left to wait
        for.
        """
        ...

    def leave(self, slot: int) -> None:
        """Free a slot; it costs the other slots nothing."""
        ...

    def move(self, source: int, target: int) -> None:
        """Move a session to a free slot, bit for bit."""
        ...

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Advance the rows of `exec_mask` by one frame. pcm `[B, 1920]` in [-1, 1]."""
        ...

    def hush(self, slot: int, on: bool) -> None:
        """Force silence in sound and text, or end it; the slot listens and remembers all along."""
        ...

    def say(self, slot: int, text: str, done: Done) -> None:
        """Say a text at the slot's next pause; `done` is called with whether all of it was said.

        A hush cuts off a text that has begun; one that has not begun waits until the hush is over.
        """
        ...

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        """Drop every text that is not said yet; with `unless_begun`, that has not begun."""
        ...

    def forget(self, slot: int) -> None:
        """Empty the slot's memory but for its prompt."""
        ...

    def work(self, gap_s: float) -> bool:
        """Do background work (prefill, renewal) for up to `gap_s`. True: more is left.

        Raises `SlotFailed` where it failed for one slot alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The fields of `Model` that rooms know."""

    name: str
    pieces: tuple[str | None, ...]
    repertoire: Repertoire | None
    padding: int


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model: its step, and what rooms and callers need to know of it."""

    name: str
    step: BatchedStep
    pieces: tuple[str | None, ...]  # text token id → sentencepiece piece; None: not text
    voices: tuple[str, ...]
    repertoire: Repertoire | None = None  # the only lines it can say; None: any
    prompts: bool = False  # it follows a persona's prompt and voice, not its sampling alone
    prompt_tokens: int = 0  # of such a prompt with its marks, at most
    tokenizer: bytes = b""  # a sentencepiece model, to count them
    sampling: UsualSampling = field(default_factory=UsualSampling)  # the model's own
    padding: int = 3  # the text token that says nothing
    recognition: Recognition | None = None  # of people's speech, beside the step
    keys_and_values: str = ""  # their type and why, one sentence for people
    note: str = ""  # one sentence for people, shown in log and page

    @property
    def facts(self) -> ModelFacts:
        """Return what rooms know of it."""
        return ModelFacts(self.name, self.pieces, self.repertoire, self.padding)
