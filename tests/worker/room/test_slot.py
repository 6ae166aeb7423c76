"""A persona whose slot fails: it goes on in another slot, unless failures follow too often."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from protocol import wire
from protocol.personas import Persona
from protocol.room_spec import persona_specs
from worker.backup.backup import PersonaBackup
from worker.engine.slots import Full, SlotFrame
from worker.room.persona import slot
from worker.room.persona.persona import SILENT, RoomPersona
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


async def test_a_persona_that_has_lost_its_slot_neither_speaks_nor_wants_to() -> None:
    """A persona whose slot fails while it speaks gives up the floor and is shown as listening."""
    frames: list[Any] = []

    def join(_: object, deliver: Any, lost: Any, *__: object) -> object:
        if frames:
            raise Full("no slot is free")
        frames.extend([deliver, lost])
        return object()

    attributes: dict[str, str] = {}

    async def set_attributes(changed: dict[str, str]) -> None:
        attributes.update(changed)

    participant = SimpleNamespace(identity="agent-chef", set_attributes=set_attributes)
    room: Any = SimpleNamespace(local_participant=participant, isconnected=lambda: False)
    model = SimpleNamespace(pieces=(), frame_s=0.08, padding=3, repertoire=None)
    engine: Any = SimpleNamespace(
        model=model, join=join, hush=lambda *_: None, leave=lambda *_: None
    )
    persona = RoomPersona(
        CHEF, room, engine, lambda _: None, lambda *_: None, PersonaBackup(None, ())
    )
    persona._slot.take()  # pyright: ignore[reportPrivateUsage]
    deliver, lost = frames
    deliver(SlotFrame(np.full(1920, 0.5, dtype=np.float32), 7, 7, 0, 0.0))
    spoke = persona.floor_frame()
    await asyncio.sleep(0.01)
    state = attributes[wire.ATTR_AGENT_STATE]
    lost()
    await asyncio.sleep(0.01)

    assert (spoke.is_sounding, spoke.wants_to_speak, state) == (True, True, "speaking")
    assert persona.floor_frame() == SILENT
    assert (persona.is_quiet, attributes[wire.ATTR_AGENT_STATE]) == (True, "listening")
    await persona.leave()
