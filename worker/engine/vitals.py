"""What a slot's last frames show: a pause, or a model that says nothing while it is spoken to.

A slot starves where it was spoken to for long since its last word, and a quiet followed in which it
said nothing either: an ended turn that was not answered. Somebody who goes on, noise or a
television is no such turn. A word begins the count anew, and so does silence that is forced on the
slot. Who starved once and was helped without a word since starves again.
Pure: numpy only, counts frames, no clock. Engine thread only.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.engine.model import Mask, Pcm, Tokens

# Sound above this is somebody speaking: -40 dBFS, between a quiet room and soft speech. No more
# than a hint is needed here; the floor's speech detector lives with the microphones.
HEARD_POWER = 0.01**2
PAUSE_FRAMES = 4  # 320 ms without a word and without a voice
QUIET_FRAMES = 50  # 4 s: longer than anybody thinks before they answer


class Vitals:
    """Streaks of frames, one of each kind for every slot."""

    def __init__(self, capacity: int, no_words: Sequence[int]) -> None:
        """`no_words` are the text tokens that are no text: padding and its end."""
        self._no_words = np.array(no_words)
        self._wordless = np.zeros(capacity, dtype=np.int64)
        self._unheard = np.zeros(capacity, dtype=np.int64)
        self._ignored = np.zeros(capacity, dtype=np.int64)  # frames heard since the last word
        self._helped = np.zeros(capacity, dtype=np.bool_)  # since the last word

    def watch(self, pcm: Pcm, text: Tokens, running: Mask, hushed: Sequence[int] = ()) -> None:
        """Count a step of the slots that ran: what they heard `[B, samples]`, and said `[B]`.

        The slots `hushed` said nothing because they were not let.
        """
        slots = np.flatnonzero(running)
        heard_pcm = pcm[slots]
        power = np.einsum("bs,bs->b", heard_pcm, heard_pcm) / pcm.shape[1]
        heard = power > HEARD_POWER
        wordless = np.isin(text[slots], self._no_words)
        self._wordless[slots] = np.where(wordless, self._wordless[slots] + 1, 0)
        self._unheard[slots] = np.where(heard, 0, self._unheard[slots] + 1)
        self._ignored[slots] = np.where(wordless, self._ignored[slots] + heard, 0)
        self._helped[slots] &= wordless
        for streak in (self._ignored, self._helped):
            streak[list(hushed)] = 0

    def pauses(self, slot: int) -> bool:
        """Whether nobody speaks, neither the model nor those that it hears."""
        return min(self._wordless[slot], self._unheard[slot]) >= PAUSE_FRAMES

    def starved(self, frames: int) -> list[int]:
        """Slots that were spoken to for so many frames since their last word; now it is quiet."""
        starved = (self._ignored >= frames) & (self._unheard >= QUIET_FRAMES)
        return [int(slot) for slot in np.flatnonzero(starved)]

    def ignores(self, slot: int) -> bool:
        """Whether a slot was spoken to since its last word, and not answered."""
        return bool(self._ignored[slot])

    def was_helped(self, slot: int) -> bool:
        """Whether a slot said nothing since it was helped."""
        return bool(self._helped[slot])

    def help(self, slot: int) -> None:
        """Count from now on how long a slot that starved says nothing."""
        self._ignored[slot] = 0
        self._helped[slot] = True

    def clear(self, slot: int) -> None:
        """Begin anew with a slot."""
        for streak in self._streaks:
            streak[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Let a session's streaks follow it to another slot."""
        for streak in self._streaks:
            streak[target] = streak[source]

    @property
    def _streaks(self) -> tuple[npt.NDArray[np.int64 | np.bool_], ...]:
        return self._wordless, self._unheard, self._ignored, self._helped
