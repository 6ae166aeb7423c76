"""One track whose beginning was recorded before it was heard: the recording first, then what comes.

The model hears in real time, so what was said early is heard late. Pauses are left out until
nothing waits any more: of each, the first three frames stay, for words must not run together. Pure.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from worker.engine.arrays import Pcm
from worker.frames import TRACK_SAMPLES, power
from worker.sound.activity import VOICED_POWER

PAUSE_FRAMES = 3  # of each pause
BELOW_VOICE = 0.01  # a pause has 20 dB less power than loud speech of the same recording
MOST_FRAMES = 150  # 12 s: that are held, and of the longest recording
LATE_MOST_TICKS = 250  # 20 s: where no pause comes, the waiting sound is left out


def frames_of(pcm: Pcm) -> Iterator[Pcm]:
    """Cut a recording, `[n]` at 48 kHz, into frames that end where it ends."""
    missing = -len(pcm) % TRACK_SAMPLES
    whole = np.concatenate([np.zeros(missing, dtype=np.float32), pcm])
    return iter(whole.reshape(-1, TRACK_SAMPLES))


class EarlySound:
    """Holds a track's frames until it is released, then gives one in each tick."""

    def __init__(self) -> None:
        self._frames: deque[Pcm] = deque(maxlen=MOST_FRAMES)
        self._pause_power = VOICED_POWER
        self._quiet_frames = PAUSE_FRAMES  # nothing was said yet: a pause
        self._ticks_left = LATE_MOST_TICKS
        self.is_held = True

    @property
    def is_over(self) -> bool:
        """Whether the track is heard as it comes."""
        return not self.is_held and not self._frames

    def put(self, frame: Pcm) -> None:
        """Take the frame that the track gave in this tick, `[3840]` at 48 kHz."""
        self._frames.append(frame)

    def release(self, recording: Iterable[Pcm] = ()) -> None:
        """Let the frames be heard, those of the recording first."""
        self.is_held = False
        self._frames = deque([*recording, *self._frames])
        loudest = float(np.percentile([*map(power, self._frames), 0.0], 90))
        self._pause_power = max(VOICED_POWER, BELOW_VOICE * loudest)

    def take(self) -> Pcm | None:
        """Return the frame to hear in this tick; None counts as silence."""
        if self.is_held:
            return None
        self._ticks_left -= 1
        if self._ticks_left < 0:
            self._frames = deque([*self._frames][-1:])
        while self._frames:
            frame = self._frames.popleft()
            self._quiet_frames = 0 if power(frame) > self._pause_power else self._quiet_frames + 1
            if self._quiet_frames <= PAUSE_FRAMES:
                return frame
        return None
