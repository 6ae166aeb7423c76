"""The echo: what goes in comes out, row by row, and no word is said."""

import numpy as np

from protocol.personas import Persona
from worker.engine.echo import echo_model

ANNA = Persona(name="anna", label="Anna")

PERSONA = Persona(name="test", label="Test")


def frames(rows: int) -> np.ndarray:
    """A different frame for every row."""
    return np.random.default_rng(7).uniform(-1, 1, (rows, 1920)).astype(np.float32)


def test_a_row_that_runs_gets_its_own_frame_back() -> None:
    """Every row of the mask hears exactly what it said in this step."""
    step = echo_model(capacity=3).step
    step.join(1, ANNA)
    pcm = frames(3)

    out = step.run(pcm, np.array([True, True, True]))

    assert np.array_equal(pcm, out.pcm)
    assert out.pcm.dtype == np.float32


def test_a_masked_row_is_silent_and_not_valid() -> None:
    """A row outside the mask gives silence, whatever lies in its input."""
    step = echo_model(capacity=2).step
    pcm = frames(2)

    out = step.run(pcm, np.array([True, False]))

    assert out.valid.tolist() == [True, False]
    assert np.array_equal(np.zeros(1920, np.float32), out.pcm[1])


def test_what_it_gives_is_a_copy() -> None:
    """The engine reuses its input buffer, so the output must not be a view of it."""
    step = echo_model(capacity=1).step
    pcm = frames(1)
    said = pcm.copy()

    out = step.run(pcm, np.array([True]))
    pcm[:] = 0.0

    assert np.array_equal(said, out.pcm)


def test_it_says_no_word() -> None:
    """Every text token of an echo is one that is not text."""
    model = echo_model(capacity=4)

    out = model.step.run(frames(4), np.ones(4, dtype=np.bool_))

    assert [model.pieces[token] for token in out.text] == [None] * 4
    assert [model.pieces[token] for token in out.unforced_text] == [None] * 4


def test_capacity_is_the_settings_or_large() -> None:
    """An unset capacity means as many slots as anybody will ask for."""
    assert echo_model(capacity=5).step.capacity == 5
    assert echo_model().step.capacity == 64


def test_a_hushed_echo_is_silent() -> None:
    """Hush silences its slot alone, until it ends or somebody new comes."""
    step = echo_model(capacity=2).step
    step.hush(0, True)

    hushed = step.run(frames(2), np.ones(2, dtype=np.bool_)).pcm
    step.join(0, PERSONA)
    anew = step.run(frames(2), np.ones(2, dtype=np.bool_)).pcm

    assert not hushed[0].any()
    assert np.array_equal(hushed[1], frames(2)[1])
    assert np.array_equal(anew, frames(2))
