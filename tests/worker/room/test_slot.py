"""A persona whose slot fails: it goes on in another one, unless that fails again and again."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.personas import Persona
from protocol.room_spec import persona_specs
from worker.room.persona import slot
from worker.room.persona.slot import FAILURES_MOST, PersonaSlot

[CHEF] = persona_specs([Persona(name="chef", label="Chef")])


@pytest.mark.parametrize(("apart_s", "goes_on"), [(600.0, False), (0.0, True)])
async def test_failures_that_are_far_apart_are_not_added_up(
    monkeypatch: pytest.MonkeyPatch, apart_s: float, goes_on: bool
) -> None:
    """In a call of hours a persona falls silent for good only where failures follow soon."""
    monkeypatch.setattr(slot, "APART_S", apart_s)
    engine: Any = SimpleNamespace(join=lambda *_: object(), hush=lambda *_: None)
    backup: Any = SimpleNamespace(begin=lambda persona, _: persona)
    told: list[str] = []
    taken = PersonaSlot(CHEF, engine, backup, lambda _: None, told.append)
    taken.take()
    for _ in range(FAILURES_MOST):
        taken._pass_failure()  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.001)

    assert len(told) == FAILURES_MOST
    assert taken.is_taken is goes_on
