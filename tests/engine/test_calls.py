"""Calls that wait for the engine between two steps."""

from protocol.personas import Persona
from worker.engine.calls import JOINS_AT_A_TIME, Calls
from worker.engine.slots import Occupant


def occupants(count: int) -> list[Occupant]:
    """Return occupants of the first slots."""
    persona = Persona(name="test", label="Test")
    return [Occupant(persona, lambda frame: None, id=n, slot=n) for n in range(count)]


def test_joins_come_a_few_at_a_time() -> None:
    """At most `JOINS_AT_A_TIME` joins are taken at once, so that a frame that is due waits briefly.

    All leaves are taken, and orders for sessions that join; a later session's wait with it.
    """
    who = occupants(JOINS_AT_A_TIME + 3)
    calls = Calls(list(who), [], [(each, lambda step: None) for each in who])
    calls.leaving = occupants(2)
    first, second = calls.take(), calls.take()

    assert (first.joining, second.joining) == (who[:JOINS_AT_A_TIME], who[JOINS_AT_A_TIME:])
    assert [each for each, _ in first.orders] == first.joining
    assert [each for each, _ in second.orders] == second.joining
    assert (len(first.leaving), second.leaving) == (2, [])
    assert not calls


def test_without_joins_their_commands_stay_too() -> None:
    """While joins wait, leaves and the orders of other sessions are due and taken."""
    old, new = occupants(2)
    calls = Calls([new], [], [(new, lambda step: None)])
    assert not calls.are_due(joins=False)
    calls.orders.append((old, lambda step: None))
    assert calls.are_due(joins=False)
    taken = calls.take(joins=False)

    assert (taken.joining, [each for each, _ in taken.orders]) == ([], [old])
    assert not calls.are_due(joins=False)
    assert (calls.joining, [each for each, _ in calls.orders]) == ([new], [new])
    assert calls.are_due(joins=True)
