"""Slots: which session has which row, and which frames wait for the next step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.personas import Persona
from worker.engine.arrays import Pcm
from worker.engine.slots import INBOX_FRAMES, Full, Occupant, SlotFrame, Slots

PERSONA = Persona(name="test", label="Test")


def ignore(frame: SlotFrame) -> None:
    """Ignore a frame."""


def pcm(value: float) -> Pcm:
    """Return a frame of one value, which tells it from other frames."""
    return np.full(4, value, dtype=np.float32)


def took(slots: Slots) -> Occupant:
    """Put a new occupant into a slot."""
    occupant = Occupant(PERSONA, ignore)
    slots.add(occupant)
    return occupant


def test_the_lowest_free_slot_is_taken_first() -> None:
    """A freed slot is taken again before a higher one, so that slots stay dense."""
    slots = Slots(3)
    first = took(slots)
    took(slots)

    slots.release(first)

    assert took(slots).slot == 0


def test_an_occupant_beyond_the_capacity_is_refused() -> None:
    """One occupant more than there are slots raises `Full`."""
    slots = Slots(1)
    took(slots)

    with pytest.raises(Full, match="all 1 slots are taken"):
        took(slots)


def test_a_frame_of_a_former_occupant_is_dropped() -> None:
    """A frame that a former occupant pushes never reaches the slot's new one."""
    slots = Slots(1)
    old = took(slots)
    slots.release(old)
    new = took(slots)

    slots.put(old, pcm(1), 0.0)

    assert slots.gather([old, new]) == []
    assert old.id != new.id


def test_a_second_release_frees_nothing() -> None:
    """Releasing an occupant twice does not free the slot of the next one."""
    slots = Slots(1)
    old = took(slots)
    slots.release(old)
    new = took(slots)

    assert not slots.release(old)
    assert slots.holds(new)


def test_a_full_inbox_drops_its_oldest_frame() -> None:
    """A frame beyond `INBOX_FRAMES` drops the oldest one, which is counted."""
    slots = Slots(1)
    occupant = took(slots)

    dropped = [slots.put(occupant, pcm(i), float(i)) for i in range(INBOX_FRAMES + 1)]

    assert dropped == [False] * INBOX_FRAMES + [True]
    assert occupant.dropped == 1
    assert slots.gather([occupant])[0][2] == 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "release", "put", "gather", "move"]), st.integers(0, 9))
    )
)
def test_any_sequence_of_calls_keeps_slots_consistent(moves: list[tuple[str, int]]) -> None:
    """Used and free slots make the capacity, no slot has two occupants, frames keep their order.

    After moves into holes there are none left.
    """
    slots, held, seen = Slots(4), list[Occupant](), dict[int, float]()
    for clock, (move, pick) in enumerate(moves):
        if move == "take" and slots.free:
            held.append(took(slots))
        elif move == "release" and held:
            slots.release(held.pop(pick % len(held)))
        elif move == "put" and held:
            slots.put(held[pick % len(held)], pcm(clock), float(clock))
        elif move == "gather":
            for occupant, _, arrived_s in slots.gather(held):
                assert seen.get(occupant.id, -1.0) < arrived_s
                seen[occupant.id] = arrived_s
        elif move == "move":
            while (hole := slots.hole()) is not None:
                slots.move(*hole)
            assert {each.slot for each in held} == set(range(slots.used))
        assert slots.used + slots.free == slots.capacity
        assert len({each.slot for each in held}) == len(held) == slots.used
