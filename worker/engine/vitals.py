"""What a slot's last frames show: a pause, or a model that says nothing while it is spoken to.

Pure: numpy only, counts frames, no clock. Engine thread only.
"""

from collections.abc import Sequence

import numpy as np

from worker.engine.model import Mask, Pcm, Tokens

# Sound above this is somebody speaking: -40 dBFS, between a quiet room and soft speech. No more
# than a hint is needed here; the floor's speech detector lives with the microphones.
HEARD_POWER = 0.01**2
PAUSE_FRAMES = 4  # 320 ms without a word and without a voice


class Vitals:
    """Streaks of frames, one of each kind for every slot."""

    def __init__(self, capacity: int, no_words: Sequence[int]) -> None:
        """`no_words` are the text tokens that are no text: padding and its end."""
        self._no_words = np.array(no_words)
        self._wordless = np.zeros(capacity, dtype=np.int64)
        self._unheard = np.zeros(capacity, dtype=np.int64)
        self._ignored = np.zeros(capacity, dtype=np.int64)

    def watch(self, pcm: Pcm, text: Tokens, running: Mask) -> None:
        """Count a step of the slots that ran: what they heard `[B, samples]`, and said `[B]`."""
        slots = np.flatnonzero(running)
        heard_pcm = pcm[slots]
        power = np.einsum("bs,bs->b", heard_pcm, heard_pcm) / pcm.shape[1]
        heard = power > HEARD_POWER
        wordless = np.isin(text[slots], self._no_words)
        self._wordless[slots] = np.where(wordless, self._wordless[slots] + 1, 0)
        self._unheard[slots] = np.where(heard, 0, self._unheard[slots] + 1)
        self._ignored[slots] = np.where(wordless, self._ignored[slots] + heard, 0)

    def pauses(self, slot: int) -> bool:
        """Whether nobody speaks, neither the model nor those that it hears."""
        return min(self._wordless[slot], self._unheard[slot]) >= PAUSE_FRAMES

    def starved(self, frames: int) -> list[int]:
        """Slots that have been spoken to for so many frames since their last word."""
        return [int(slot) for slot in np.flatnonzero(self._ignored >= frames)]

    def feed(self, slot: int) -> None:
        """Count from now on how long a slot says nothing."""
        self._ignored[slot] = 0

    def clear(self, slot: int) -> None:
        """Begin anew with a slot."""
        for streak in (self._wordless, self._unheard, self._ignored):
            streak[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Let a session's streaks follow it to another slot."""
        for streak in (self._wordless, self._unheard, self._ignored):
            streak[target] = streak[source]
