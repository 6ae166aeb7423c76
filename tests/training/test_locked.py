"""How many pulses each frame of a voice has, by its pitch."""

import numpy as np

from training.locked import BEND, HOP, MELODY, bends_of, livelier, places_of, pulses_of
from training.sound import FRAME

HOPS = FRAME // HOP


def _hz(*frames: float) -> np.ndarray:
    """Return the pitch of each hop for frames of these pitches."""
    return np.repeat(np.array(frames), HOPS)


def test_a_frame_has_the_pulses_nearest_to_its_pitch() -> None:
    """The nearest number of pulses is that of the nearest pitch in semitones, not in hertz."""
    assert pulses_of(_hz(170.0, 220.0, 400.0), 3, (14, 16, 18, 20)) == [14, 18, 20]
    assert pulses_of(_hz(141.0), 1, (8, 16)) == [8]


def test_a_frame_without_pitch_has_the_pulses_of_its_neighbour() -> None:
    """A frame without pitch has the pulses of the one after it, before it, or the middle."""
    assert pulses_of(_hz(0.0, 175.0, 0.0, 0.0), 4, (14, 16, 18)) == [14, 14, 14, 16]


def test_melody_is_stretched_to_three_semitones() -> None:
    """Pitch is stretched around its mean to `MELODY`, and hops without pitch stay so."""
    flat = _hz(180.0, 200.0, 0.0, 240.0)
    lively = livelier(flat)
    voiced = lively > 0
    assert (voiced == (flat > 0)).all()
    assert np.isclose(12 * np.log2(lively[voiced]).std(), MELODY)
    assert np.isclose(np.log(lively[voiced]).mean(), np.log(flat[voiced]).mean())
    assert np.allclose(livelier(_hz(100.0, 200.0)), _hz(100.0, 200.0))


def test_a_frame_is_bent_where_the_pitch_goes_on() -> None:
    """A frame's bend follows its neighbours, and number and bend fix the places of its pulses."""
    assert bends_of([13, 15, 18, 18, 15]) == [BEND, BEND, BEND, -BEND, -BEND]
    assert bends_of([15, 15, 15]) == [0.0, 0.0, 0.0]
    for bend in (-BEND, 0.0, BEND):
        at, period = places_of(16, bend)
        assert at[0] == 0
        assert np.isclose(period.sum(), FRAME, rtol=0.02)
        assert np.allclose(np.diff(at), (period[1:] + period[:-1]) / 2, atol=1.5)
