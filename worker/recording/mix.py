"""The two channels of a recording: people left, personas right. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from worker.engine.arrays import Pcm
from worker.frames import FRAME_SAMPLES, TRACK_SAMPLES, Pcm16, to_int16
from worker.sound.resample import Resampler


@dataclass(frozen=True, slots=True)
class RoomFrame:
    """The sound of one tick: people `[3840]` float32 at 48 kHz, voices `[1920]` at 24 kHz."""

    people: tuple[Pcm, ...]
    voices: tuple[Pcm, ...]


class StereoMix:
    """Mixes a room's frames, with the state of the people's filter. Called from one thread."""

    def __init__(self) -> None:
        self._resampler = Resampler(down=2)  # of the sum: a filter for each track gives the same

    def mix(self, frame: RoomFrame) -> Pcm16:
        """Return the frame as `[1920, 2]` 16-bit samples at 24 kHz."""
        people = self._resampler.feed(_sum(frame.people, TRACK_SAMPLES))
        stereo = np.stack([people, _sum(frame.voices, FRAME_SAMPLES)], axis=1)
        return to_int16(stereo)


def _sum(sounds: Iterable[Pcm], samples: int) -> Pcm:
    total = np.zeros(samples, dtype=np.float32)
    for sound in sounds:
        total += sound
    return total
