"""Which frames of a persona's voice are voiced, and whether it speaks. Pure.

The model sounds without end, so turns come from energy: a voiced frame begins one, a pause ends it.
"""

import numpy as np

from worker.engine.arrays import Pcm

VOICED_DBFS = -45.0  # Moshi's idle sound lies some 20 dB below, its voice 15 dB above
QUIET_FRAMES = 6  # 480 ms without a voiced frame is a pause


def dbfs(pcm: Pcm) -> float:
    """Level of a frame, `[n]` float32 in [-1, 1], in dB below full scale."""
    power = float(np.dot(pcm, pcm)) / max(len(pcm), 1)
    return 10.0 * float(np.log10(power + 1e-12))


class Voicing:
    """Tells speaking from listening, frame by frame. Called from one thread."""

    def __init__(self) -> None:
        self.speaking = False
        self.voiced = False  # the last frame
        self._quiet_frames = QUIET_FRAMES

    def feed(self, pcm: Pcm) -> bool:
        """Take a frame; True if `speaking` changed with it."""
        self.voiced = dbfs(pcm) > VOICED_DBFS
        self._quiet_frames = 0 if self.voiced else self._quiet_frames + 1
        was = self.speaking
        self.speaking = self._quiet_frames < QUIET_FRAMES
        return self.speaking != was
