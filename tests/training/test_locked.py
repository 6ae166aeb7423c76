"""Pulses of a voice's frames: as its pitch goes, of those that the voice has."""

import numpy as np

from training.locked import HOP, pulses_of
from training.sound import FRAME

HOPS = FRAME // HOP


def _hz(*frames: float) -> np.ndarray:
    return np.repeat(np.array(frames), HOPS)


def test_a_frame_has_the_pulses_nearest_to_its_pitch() -> None:
    """The distance is musical: in semitones, not in hertz."""
    assert pulses_of(_hz(170.0, 220.0, 400.0), 3, (14, 16, 18, 20)) == [14, 18, 20]
    assert pulses_of(_hz(141.0), 1, (8, 16)) == [8]


def test_a_frame_without_pitch_has_the_pulses_of_its_neighbour() -> None:
    """Of the frame after it, else of the one before it, else of the middle."""
    assert pulses_of(_hz(0.0, 175.0, 0.0, 0.0), 4, (14, 16, 18)) == [14, 14, 14, 16]
