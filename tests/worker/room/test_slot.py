"""A persona whose slot fails: it goes on in another slot, unless failures follow too often."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.personas import Persona
from protocol.room_spec import persona_specs
from worker.engine.slots import Full
from worker.room.persona import slot
from worker.room.persona.slot import FAILURES_MOST, PersonaSlot

[CHEF] = persona_specs([Persona(name="chef", label="Chef")])


@pytest.mark.parametrize(("apart_s", "goes_on"), [(600.0, False), (0.0, True)])
async def test_only_failures_that_follow_soon_count_together(
    monkeypatch: pytest.MonkeyPatch, apart_s: float, goes_on: bool
) -> None:
    """A persona falls silent for good after `FAILURES_MOST` failures less than `APART_S` apart."""
    monkeypatch.setattr(slot, "APART_S", apart_s)
    engine: Any = SimpleNamespace(join=lambda *_: object(), hush=lambda *_: None)
    backup: Any = SimpleNamespace(begin=lambda persona, _: persona)
    reported: list[str] = []
    taken = PersonaSlot(CHEF, engine, backup, lambda _: None, reported.append)
    taken.take()
    for _ in range(FAILURES_MOST):
        taken._pass_failure()  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.001)

    assert len(reported) == FAILURES_MOST
    assert taken.is_taken is goes_on


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_persona_whose_slot_is_anothers_takes_the_next_that_is_free(
    monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """A persona whose slot failed on a full worker takes the next free one, unless it has left."""
    monkeypatch.setattr(slot, "RETAKE_S", 0.001)
    is_full = False

    def join(*_: object) -> object:
        if is_full:
            raise Full("no slot is free")
        return object()

    engine: Any = SimpleNamespace(join=join, hush=lambda *_: None)
    backup: Any = SimpleNamespace(begin=lambda persona, _: persona)
    reported: list[str] = []
    taken = PersonaSlot(CHEF, engine, backup, lambda _: None, reported.append)
    taken.take()
    is_full = True
    taken._pass_failure()  # pyright: ignore[reportPrivateUsage]
    await asyncio.sleep(0.02)
    assert not taken.is_taken
    if leaves:
        taken.free()
    is_full = False
    await asyncio.sleep(0.02)

    assert taken.is_taken is not leaves
    assert len(reported) == 1 and "waits for another" in reported[0]
