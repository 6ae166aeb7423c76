"""The columns that sessions read, kept for renewals."""

import numpy as np
import pytest

from worker.engine.arrays import Tokens
from worker.engine.conversation.history import History


def columns(number: int) -> Tokens:
    """One column for each of two slots, told apart by slot and number."""
    return np.array([[number, 0, -1], [number, 1, -1]], dtype=np.int64)


def filled(frames: int, added: int) -> History:
    """A history of two slots that both ran `added` times."""
    history = History(2, frames, streams=3, highest_token=100)
    for number in range(added):
        history.add(columns(number), np.array([True, True]))
    return history


def test_reads_what_was_added() -> None:
    """Columns come back as they were, negative tokens too."""
    history = filled(frames=8, added=5)

    assert history.read(1, 2, 5).tolist() == [[2, 1, -1], [3, 1, -1], [4, 1, -1]]


def test_only_slots_that_ran_are_kept() -> None:
    """A masked slot's column is not part of its history."""
    history = filled(frames=8, added=1)
    history.add(columns(7), np.array([False, True]))

    assert (history.count(0), history.count(1)) == (1, 2)
    assert history.read(1, 0, 2)[:, 0].tolist() == [0, 7]


def test_takes_a_single_column() -> None:
    """A column can be added to one slot alone."""
    history = filled(frames=4, added=3)
    history.append(0, np.array([50, 51, 52]))

    assert (history.count(0), history.count(1)) == (4, 3)
    assert history.read(0, 2, 4).tolist() == [[2, 0, -1], [50, 51, 52]]


def test_is_bounded() -> None:
    """The newest columns stay, in order, in as many bytes as at the beginning."""
    history = filled(frames=4, added=0)
    before = history.columns.nbytes
    for number in range(11):
        history.add(columns(number), np.array([True, True]))

    assert history.columns.nbytes == before == 2 * 4 * 3 * 2
    assert (history.oldest(0), history.count(0)) == (7, 11)
    assert history.read(0, 7, 11)[:, 0].tolist() == [7, 8, 9, 10]


def test_what_is_gone_cannot_be_read() -> None:
    """A column that was overwritten, or that is not there yet, is refused."""
    history = filled(frames=4, added=6)
    with pytest.raises(AssertionError):
        history.read(0, 1, 6)
    with pytest.raises(AssertionError):
        history.read(0, 4, 7)


def test_cleared_slot_begins_anew() -> None:
    """A new session in a slot has no column of the old one; its neighbour keeps its own."""
    history = filled(frames=4, added=3)
    history.clear(0)

    assert (history.count(0), history.count(1)) == (0, 3)
    assert history.read(0, 0, 0).shape == (0, 3)


def test_follows_a_move() -> None:
    """A session that moves takes its columns along."""
    history = filled(frames=4, added=6)
    history.move(1, 0)

    assert history.read(0, 2, 6).tolist() == history.read(1, 2, 6).tolist()


def test_large_cards_fit() -> None:
    """Tokens beyond 16 bits are kept whole."""
    history = History(1, 2, streams=1, highest_token=48_000)
    history.add(np.array([[48_000]]), np.array([True]))

    assert history.read(0, 0, 1).tolist() == [[48_000]]
