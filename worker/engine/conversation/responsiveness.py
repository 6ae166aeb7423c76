"""What a slot's last frames show: a pause, or a model that no longer answers.

Silence alone does not tell an unresponsive model from one that was asked to listen. The chance that
it gives to words does: a working model gives some to words when the person pauses, even where it
draws none. So a slot counts as unresponsive only where all of this holds since its last word, or
since silence that was forced on it ended:

- it ran for so many frames that its memory holds no word of its own,
- it was spoken to for long, and a quiet followed,
- in none of these frames had all words together the chance `LEAST_CHANCE`.

Measured on the pocket Moshi in the quiet after a turn (docs/benchmarks.md): working 1.0,
unresponsive 4e-9. Pure: numpy only, counts frames. Engine thread only.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Mask, Pcm, Tokens

# Sound above this counts as speech: -40 dBFS, between a quiet room and soft speech. A hint is
# enough here; the speech detector of the floor is in `worker/sound`.
HEARD_POWER = 0.01**2
PAUSE_FRAMES = 4  # 320 ms without a word and without a voice
QUIET_FRAMES = 50  # 4 s: longer than a person thinks before an answer
LEAST_CHANCE = 1e-6  # in a frame: such a model says a word once in a million frames, 22 hours


class Responsiveness:
    """Counts of frames for every slot."""

    def __init__(self, capacity: int, no_words: Sequence[int]) -> None:
        """`no_words` are the text tokens that are no text: padding and its end."""
        self._no_words = no_words
        self._wordless = np.zeros(capacity, dtype=np.int64)
        self._unheard = np.zeros(capacity, dtype=np.int64)
        # Since the last word, or since forced silence ended:
        self._mute = np.zeros(capacity, dtype=np.int64)  # frames
        self._spoken_to = np.zeros(capacity, dtype=np.int64)  # frames in which speech was heard
        self._best_chance = np.zeros(capacity, dtype=np.float64)  # of a word, in any of them
        self._since_word = (self._mute, self._spoken_to, self._best_chance)
        self._all = (self._wordless, self._unheard, *self._since_word)

    def watch(
        self,
        pcm: Pcm,
        text: Tokens,
        chance: npt.NDArray[np.float64],
        running: Mask,
        hushed: Sequence[int] = (),
    ) -> None:
        """Count a step of the slots that ran: what they heard `[B, samples]`, and said `[B]`.

        `chance` `[B]` is what the model gave to all words together. Silence was forced on the slots
        `hushed`.
        """
        rows = int(np.max(np.flatnonzero(running), initial=-1)) + 1
        power = np.einsum("bs,bs->b", pcm[:rows], pcm[:rows]) / pcm.shape[1]
        heard = running.copy()
        heard[:rows] &= power > HEARD_POWER
        said = running.copy()
        for token in self._no_words:
            said &= text != token
        for count in (self._wordless, self._unheard, self._mute):
            count += running
        self._spoken_to += heard
        np.maximum(self._best_chance, chance, out=self._best_chance, where=running)
        self._unheard[heard] = 0
        self._wordless[said] = 0
        for count in self._since_word:
            count[said] = 0
            count[list(hushed)] = 0

    def pauses(self, slot: int) -> bool:
        """Whether the model is silent and hears no speech."""
        return min(self._wordless[slot], self._unheard[slot]) >= PAUSE_FRAMES

    def mute_frames(self, slot: int) -> int:
        """Return for how many frames a slot was free to speak and said no word."""
        return int(self._mute[slot])

    def unresponsive(self, mute_frames: int, spoken_frames: int) -> list[int]:
        """Return the slots that were mute for `mute_frames` and spoken to for `spoken_frames`.

        Only those that gave words no chance all that time, and only while it is quiet.
        """
        unresponsive = (
            (self._mute >= mute_frames)
            & (self._spoken_to >= spoken_frames)
            & (self._unheard >= QUIET_FRAMES)
            & (self._best_chance < LEAST_CHANCE)
        )
        return [int(slot) for slot in np.flatnonzero(unresponsive)]

    def clear(self, slot: int) -> None:
        """Set a slot's counts to zero."""
        for count in self._all:
            count[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Copy a session's counts to its new slot."""
        for count in self._all:
            count[target] = count[source]
