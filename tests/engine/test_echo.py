"""The echo: each row gets its own frame back, and no words."""

import numpy as np

from protocol.personas import Persona
from worker.engine.echo import echo_model

ANNA = Persona(name="anna", label="Anna")

PERSONA = Persona(name="test", label="Test")


def frames(rows: int) -> np.ndarray:
    """Return a different frame for every row."""
    return np.random.default_rng(7).uniform(-1, 1, (rows, 1920)).astype(np.float32)


def test_a_row_that_runs_gets_its_own_frame_back() -> None:
    """Each row's output is its input of the same step."""
    step = echo_model(capacity=3).step
    step.join(1, ANNA)
    pcm = frames(3)

    out = step.run(pcm, np.array([True, True, True]))

    assert np.array_equal(pcm, out.pcm)
    assert out.pcm.dtype == np.float32


def test_a_masked_row_is_silent_and_not_valid() -> None:
    """A masked row gives silence and is not valid, whatever its input."""
    step = echo_model(capacity=2).step
    pcm = frames(2)

    out = step.run(pcm, np.array([True, False]))

    assert out.valid.tolist() == [True, False]
    assert np.array_equal(np.zeros(1920, np.float32), out.pcm[1])


def test_the_output_is_a_copy() -> None:
    """The output does not change with the engine's input buffer."""
    step = echo_model(capacity=1).step
    pcm = frames(1)
    said = pcm.copy()

    out = step.run(pcm, np.array([True]))
    pcm[:] = 0.0

    assert np.array_equal(said, out.pcm)


def test_the_echo_says_no_word() -> None:
    """No text token of the echo has a piece of text."""
    model = echo_model(capacity=4)

    out = model.step.run(frames(4), np.ones(4, dtype=np.bool_))

    assert [model.pieces[token] for token in out.text] == [None] * 4
    assert [model.pieces[token] for token in out.unforced_text] == [None] * 4


def test_capacity_is_the_setting_or_64() -> None:
    """Without a setting the echo has 64 slots."""
    assert echo_model(capacity=5).step.capacity == 5
    assert echo_model().step.capacity == 64


def test_a_silenced_echo_is_silent_until_its_slot_is_joined() -> None:
    """`hush` silences its own slot only, until another session joins it."""
    step = echo_model(capacity=2).step
    step.hush(0, True)

    silenced = step.run(frames(2), np.ones(2, dtype=np.bool_)).pcm
    step.join(0, PERSONA)
    after_join = step.run(frames(2), np.ones(2, dtype=np.bool_)).pcm

    assert not silenced[0].any()
    assert np.array_equal(silenced[1], frames(2)[1])
    assert np.array_equal(after_join, frames(2))
