"""What is forced on one slot in its next step: silence, a line, or nothing. Pure.

A frame's codes are not made at once: a codebook with delay d makes frame n in the step after frame
n + d came in. So silence begins and ends with a frame and not with a step: no frame is half silent.
"""

from collections import deque
from dataclasses import dataclass

from worker.engine.conversation.say import UNFORCED, ForcedFrame, SpokenLine


@dataclass(frozen=True, slots=True)
class Silence:
    """The tokens with which the model at hand is silent."""

    pad: int
    codes: tuple[int, ...]  # of the agent's codebooks
    delays: tuple[int, ...]  # in frames, of the same


class SlotForcing:
    """Silence and lines of one session; read `frame` before a step, call `used` after it."""

    def __init__(self, silence: Silence, rest_frames: int = 0) -> None:
        """`rest_frames`: for so long the model begins no word of its own after a line."""
        self._silence = silence
        self._rest_frames, self._rest_left = rest_frames, 0
        self._reasons: set[str] = set()  # for silence
        # Whether a frame is silent: the next step's own first, then the frames whose delayed
        # codes are not made yet.
        self._silent = deque([False] * (max(silence.delays) + 1))
        self._lines: deque[SpokenLine] = deque()

    @property
    def frame(self) -> ForcedFrame:
        """The tokens that are forced in the next step."""
        line = UNFORCED
        if self._silent[0]:
            line = ForcedFrame(self._silence.pad)
        elif self._lines:
            line = self._lines[0].frame
        if line == UNFORCED and self._rest_left:  # also where the next line waits for a pause
            line = ForcedFrame(self._silence.pad, at_word=True)
        if not any(self._silent):
            return line
        delayed = zip(self._silence.codes, self._silence.delays, strict=True)
        audio = tuple(code if self._silent[delay] else None for code, delay in delayed)
        return ForcedFrame(line.text, line.at_word, audio)

    @property
    def is_due(self) -> bool:
        """Whether `used` would change anything."""
        return bool(self._lines or self._reasons or self._rest_left) or any(self._silent)

    @property
    def silent(self) -> bool:
        """Whether silence is forced in the next step; until `used`, in the one that ran."""
        return self._silent[0]

    def hush(self, on: bool, reason: str = "hush") -> None:
        """Force silence from the next frame on, for this reason, or no longer for it.

        A line that has begun is cut off: its rest would come later, as a fragment.
        """
        (self._reasons.add if on else self._reasons.discard)(reason)
        self._silent[0] = bool(self._reasons)
        if on and self._lines and self._lines[0].begun:
            self._lines.popleft().end()

    def after_silence(self) -> None:
        """Count the frames before as silent: the model has just read that it was silent."""
        for n in range(1, len(self._silent)):
            self._silent[n] = True

    def say(self, line: SpokenLine) -> None:
        """Say a line after those that were asked for before."""
        self._lines.append(line)
        self._end_said_lines()

    def used(self, token: int) -> None:
        """Record the text token that the step used."""
        self._rest_left = max(0, self._rest_left - 1)
        if self._lines and not self._silent[0]:
            self._lines[0].used(token)
            self._end_said_lines()
        self._silent.pop()
        self._silent.appendleft(bool(self._reasons))

    def drop_lines(self, *, unless_begun: bool = False) -> None:
        """Drop every line that is not said yet; with `unless_begun`, that has not begun."""
        kept = [each for each in self._lines if unless_begun and each.begun]
        while self._lines:
            line = self._lines.popleft()
            if line not in kept:
                line.end()
        self._lines.extend(kept)

    def _end_said_lines(self) -> None:
        while self._lines and self._lines[0].over:
            self._rest_left = self._rest_frames
            self._lines.popleft().end()
