"""The columns that sessions have read, which are kept for renewals."""

import numpy as np
import pytest

from worker.engine.arrays import Tokens
from worker.engine.conversation.history import History


def columns(number: int) -> Tokens:
    """Return one column for each of two slots, which name their slot and number."""
    return np.array([[number, 0, -1], [number, 1, -1]], dtype=np.int64)


def filled(frames: int, added: int) -> History:
    """Return a history of two slots that both ran `added` times."""
    history = History(2, frames, streams=3, highest_token=100)
    for number in range(added):
        history.add(columns(number), np.array([True, True]))
    return history


def test_columns_are_read_as_they_were_added() -> None:
    """A history returns a slot's columns as they were, negative tokens too."""
    history = filled(frames=8, added=5)

    assert history.read(1, 2, 5).tolist() == [[2, 1, -1], [3, 1, -1], [4, 1, -1]]


def test_columns_of_masked_slots_are_not_kept() -> None:
    """A slot that did not run gets no column."""
    history = filled(frames=8, added=1)
    history.add(columns(7), np.array([False, True]))

    assert (history.count(0), history.count(1)) == (1, 2)
    assert history.read(1, 0, 2)[:, 0].tolist() == [0, 7]


def test_a_column_can_be_appended_to_one_slot() -> None:
    """`append` adds a column to one slot alone."""
    history = filled(frames=4, added=3)
    history.append(0, np.array([50, 51, 52]))

    assert (history.count(0), history.count(1)) == (4, 3)
    assert history.read(0, 2, 4).tolist() == [[2, 0, -1], [50, 51, 52]]


def test_a_history_keeps_only_its_latest_columns() -> None:
    """A full history keeps the newest columns in order, in the same number of bytes."""
    history = filled(frames=4, added=0)
    before = history.columns.nbytes
    for number in range(11):
        history.add(columns(number), np.array([True, True]))

    assert history.columns.nbytes == before == 2 * 4 * 3 * 2
    assert (history.oldest(0), history.count(0)) == (7, 11)
    assert history.read(0, 7, 11)[:, 0].tolist() == [7, 8, 9, 10]


def test_overwritten_and_future_columns_cannot_be_read() -> None:
    """To read a column that was overwritten, or is not there yet, is an assertion error."""
    history = filled(frames=4, added=6)
    with pytest.raises(AssertionError):
        history.read(0, 1, 6)
    with pytest.raises(AssertionError):
        history.read(0, 4, 7)


def test_a_cleared_slot_has_no_columns() -> None:
    """A cleared slot has no column of its old session; the other slot keeps its own."""
    history = filled(frames=4, added=3)
    history.clear(0)

    assert (history.count(0), history.count(1)) == (0, 3)
    assert history.read(0, 0, 0).shape == (0, 3)


def test_a_session_that_moves_keeps_its_columns() -> None:
    """`move` copies a session's columns to its new slot."""
    history = filled(frames=4, added=6)
    history.move(1, 0)

    assert history.read(0, 2, 6).tolist() == history.read(1, 2, 6).tolist()


def test_tokens_beyond_16_bits_are_kept_whole() -> None:
    """A model with more than 2**15 tokens gets a type that holds them."""
    history = History(1, 2, streams=1, highest_token=48_000)
    history.add(np.array([[48_000]]), np.array([True]))

    assert history.read(0, 0, 1).tolist() == [[48_000]]
