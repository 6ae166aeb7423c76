"""Who hears what in a room: everybody but oneself. Pure."""

from collections.abc import Sequence

import numpy as np

from worker.engine.arrays import Pcm


def heard_by_each(people: Pcm, voices: Sequence[Pcm | None]) -> list[Pcm]:
    """What each persona hears: the people and the other personas, never itself.

    `people` and each voice are `[n]` float32; None is a persona that said nothing. Clipped to
    [-1, 1].
    """
    everybody = people.astype(np.float64)  # so that taking one's own voice out leaves no trace
    for voice in voices:
        if voice is not None:
            everybody = everybody + voice
    return [
        np.clip(everybody if own is None else everybody - own, -1.0, 1.0).astype(np.float32)
        for own in voices
    ]
