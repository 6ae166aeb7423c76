"""What a slot's last frames show: a pause, or a model that is lost.

Silence alone does not tell a lost model from one that was asked to listen. The chance that it gives
to words does: a sound listener weighs a word when the person pauses, even where it draws none; a
lost model gives words no chance, whatever it hears. So a slot counts as lost only where all of this
holds since its last word, or since silence that was forced on it ended:

- it ran for so many frames that its memory holds no word of its own,
- it was spoken to for long, and a quiet followed,
- in none of these frames had all words together the chance `LEAST_CHANCE`.

Measured on the pocket Moshi in the quiet after a turn (docs/benchmarks.md): sound 1.0, lost 4e-9.
Pure: numpy only, counts frames, no clock. Engine thread only.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Mask, Pcm, Tokens

# Sound above this is somebody speaking: -40 dBFS, between a quiet room and soft speech. No more
# than a hint is needed here; the floor's speech detector lives with the microphones.
HEARD_POWER = 0.01**2
PAUSE_FRAMES = 4  # 320 ms without a word and without a voice
QUIET_FRAMES = 50  # 4 s: longer than anybody thinks before they answer
LEAST_CHANCE = 1e-6  # in a frame: such a model says a word once in a million frames, 22 hours


class Responsiveness:
    """Streaks of frames, one of each kind for every slot."""

    def __init__(self, capacity: int, no_words: Sequence[int]) -> None:
        """`no_words` are the text tokens that are no text: padding and its end."""
        self._no_words = np.array(no_words)
        self._wordless = np.zeros(capacity, dtype=np.int64)
        self._unheard = np.zeros(capacity, dtype=np.int64)
        # Since the last word, or since forced silence ended:
        self._mute = np.zeros(capacity, dtype=np.int64)  # frames
        self._spoken_to = np.zeros(capacity, dtype=np.int64)  # those in which it heard somebody
        self._best_chance = np.zeros(capacity, dtype=np.float64)  # of a word, in any of them

    def watch(
        self,
        pcm: Pcm,
        text: Tokens,
        chance: npt.NDArray[np.float64],
        running: Mask,
        hushed: Sequence[int] = (),
    ) -> None:
        """Count a step of the slots that ran: what they heard `[B, samples]`, and said `[B]`.

        `chance` `[B]` is what the model gave to all words together. The slots `hushed` said nothing
        because they were not let.
        """
        slots = np.flatnonzero(running)
        heard_pcm = pcm[slots]
        power = np.einsum("bs,bs->b", heard_pcm, heard_pcm) / pcm.shape[1]
        heard = power > HEARD_POWER
        wordless = np.isin(text[slots], self._no_words)
        self._wordless[slots] = np.where(wordless, self._wordless[slots] + 1, 0)
        self._unheard[slots] = np.where(heard, 0, self._unheard[slots] + 1)
        self._mute[slots] = np.where(wordless, self._mute[slots] + 1, 0)
        self._spoken_to[slots] = np.where(wordless, self._spoken_to[slots] + heard, 0)
        best = np.maximum(self._best_chance[slots], chance[slots])
        self._best_chance[slots] = np.where(wordless, best, 0)
        for streak in (self._mute, self._spoken_to, self._best_chance):
            streak[list(hushed)] = 0

    def pauses(self, slot: int) -> bool:
        """Whether nobody speaks, neither the model nor those that it hears."""
        return min(self._wordless[slot], self._unheard[slot]) >= PAUSE_FRAMES

    def mute_frames(self, slot: int) -> int:
        """For how many frames a slot was free to speak and said no word."""
        return int(self._mute[slot])

    def lost(self, mute_frames: int, spoken_frames: int) -> list[int]:
        """Slots that say nothing and cannot.

        They were mute for so many frames, spoken to in so many of them, and never gave a word the
        least chance; now it is quiet.
        """
        lost = (
            (self._mute >= mute_frames)
            & (self._spoken_to >= spoken_frames)
            & (self._unheard >= QUIET_FRAMES)
            & (self._best_chance < LEAST_CHANCE)
        )
        return [int(slot) for slot in np.flatnonzero(lost)]

    def clear(self, slot: int) -> None:
        """Begin anew with a slot."""
        for streak in self._streaks:
            streak[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Let a session's streaks follow it to another slot."""
        for streak in self._streaks:
            streak[target] = streak[source]

    @property
    def _streaks(self) -> tuple[npt.NDArray[np.int64 | np.float64], ...]:
        return self._wordless, self._unheard, self._mute, self._spoken_to, self._best_chance
