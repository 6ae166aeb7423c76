"""The sound that each persona of a room hears. Pure."""

from collections.abc import Sequence

import numpy as np

from worker.engine.arrays import Pcm


def heard_by_each(people: Pcm, voices: Sequence[Pcm | None]) -> list[Pcm]:
    """Return for each persona the sum of the people and of all other personas, in [-1, 1].

    `people` and each voice are `[n]` float32; a voice is None where the persona gave no frame.
    """
    total = people.astype(np.float64)  # subtracting a persona's own voice then leaves no residue
    for voice in voices:
        if voice is not None:
            total = total + voice
    return [
        np.clip(total if own is None else total - own, -1.0, 1.0).astype(np.float32)
        for own in voices
    ]
