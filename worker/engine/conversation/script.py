"""What one slot is told to say in its next step: silence, given words, or what it likes. Pure.

A frame's codes are not made at once: a codebook with delay d makes frame n in the step after frame
n + d came in. So silence begins and ends with a frame and not with a step: no frame is half silent.
Knows no tensor and no slot. Engine thread only.
"""

from collections import deque
from dataclasses import dataclass

from worker.engine.conversation.say import SpokenLine


@dataclass(frozen=True, slots=True)
class Silence:
    """How the model at hand says nothing."""

    pad: int
    codes: tuple[int, ...]  # of the agent's codebooks
    delays: tuple[int, ...]  # in frames, of the same


@dataclass(frozen=True, slots=True)
class ForcedFrame:
    """Tokens of a slot's next step; None: the model's own."""

    text: int | None = None
    at_word: bool = False
    audio: tuple[int | None, ...] | None = None


FREE = ForcedFrame()


class Script:
    """One occupant's script. `orders` before a step, `used` after it."""

    def __init__(self, silence: Silence) -> None:
        self._silence = silence
        self._reasons: set[str] = set()
        # Whether a frame is silent: first the next step's own, then those whose delayed codes
        # are not made yet.
        self._silent = deque([False] * (max(silence.delays) + 1))
        self._sayings: deque[SpokenLine] = deque()

    @property
    def orders(self) -> ForcedFrame:
        """What the next step is told."""
        codes = self._silence.codes
        if self._silent[0]:
            text, at_word = self._silence.pad, False
        else:
            wanted = self._sayings[0].wanted if self._sayings else None
            text, at_word = (wanted.token, wanted.at_word) if wanted else (None, False)
        if not any(self._silent):
            return FREE if text is None else ForcedFrame(text, at_word)
        delayed = zip(codes, self._silence.delays, strict=True)
        audio = tuple(code if self._silent[delay] else None for code, delay in delayed)
        return ForcedFrame(text, at_word, audio)

    @property
    def silent(self) -> bool:
        """Whether silence is forced in the next step; until `used`, in the one that ran."""
        return self._silent[0]

    def hush(self, on: bool, reason: str = "hush") -> None:
        """Be silent from the next frame on, for this reason, or no longer for it.

        A text that has begun is cut off for good: its rest would come later, as a fragment.
        """
        (self._reasons.add if on else self._reasons.discard)(reason)
        self._silent[0] = bool(self._reasons)
        if on and self._sayings and self._sayings[0].begun:
            self._sayings.popleft().end()

    def after_silence(self) -> None:
        """The mind has just read that it was silent: so were the frames that are being made."""
        for n in range(1, len(self._silent)):
            self._silent[n] = True

    def say(self, saying: SpokenLine) -> None:
        """Say something once what was asked before is said."""
        self._sayings.append(saying)
        self._drop_ended()

    def used(self, token: int) -> None:
        """Take notice of the text token that the step used."""
        if self._sayings and not self._silent[0]:
            self._sayings[0].used(token)
            self._drop_ended()
        self._silent.pop()
        self._silent.appendleft(bool(self._reasons))

    def drop_sayings(self) -> None:
        """Drop every text that is not said yet."""
        while self._sayings:
            self._sayings.popleft().end()

    def _drop_ended(self) -> None:
        while self._sayings and self._sayings[0].over:
            self._sayings.popleft().end()
