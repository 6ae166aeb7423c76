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
from worker.engine.model import ModelFacts, Remembered
from worker.engine.slots import Full, SlotFrame
from worker.room.persona import slot
from worker.room.persona.lines import Line
from worker.room.persona.persona import SILENT, RoomPersona
from worker.room.persona.slot import FAILURES_MOST, PersonaSlot

[CHEF] = persona_specs([Persona(name="chef", label="Chef")])
FACTS = ModelFacts("echo", (), None, padding=3)
MEMORY = Remembered(np.zeros((13, 17), dtype=np.int64), seed=1, draws=13)


class Slots:
    """The engine's slots; the one that was taken last can fail."""

    def __init__(self) -> None:
        self.held: list[object] = []
        self.is_full = False
        self._lost: Any = None

    def join(self, _: object, __: object, lost: Any, *___: object) -> object:
        if self.is_full:
            raise Full("no slot is free")
        self._lost = lost
        self.held.append(object())
        return self.held[-1]

    def leave(self, occupant: object) -> None:
        if occupant in self.held:
            self.held.remove(occupant)

    def fail(self) -> None:
        """Free the slot that was taken last, and say that it failed."""
        self.held.pop()
        self._lost()

    def hush(self, *_: object) -> None:
        pass


def slot_of(engine: Slots, reported: list[str]) -> PersonaSlot:
    """Return a persona's slot in these; its failures are reported in a list."""
    slots: Any = engine
    backup: Any = SimpleNamespace(begin=lambda persona, _: persona)
    return PersonaSlot(CHEF, slots, backup, lambda _: None, reported.append)


@pytest.mark.parametrize(("apart_s", "goes_on"), [(600.0, False), (0.0, True)])
async def test_only_failures_that_follow_soon_count_together(
    monkeypatch: pytest.MonkeyPatch, apart_s: float, goes_on: bool
) -> None:
    """A persona falls silent for good after `FAILURES_MOST` failures less than `APART_S` apart."""
    monkeypatch.setattr(slot, "APART_S", apart_s)
    engine, reported = Slots(), list[str]()
    taken = slot_of(engine, reported)
    taken.take()
    for _ in range(FAILURES_MOST):
        engine.fail()
        await asyncio.sleep(0.001)

    assert len(reported) == FAILURES_MOST
    assert taken.is_taken is goes_on


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_persona_whose_slot_is_anothers_takes_the_next_that_is_free(
    monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """A persona whose slot failed on a full worker takes the next free one, unless it has left."""
    monkeypatch.setattr(slot, "RETAKE_S", 0.001)
    engine, reported = Slots(), list[str]()
    taken = slot_of(engine, reported)
    taken.take()
    engine.is_full = True
    engine.fail()
    await asyncio.sleep(0.02)
    assert not taken.is_taken
    if leaves:
        taken.free()
    engine.is_full = False
    await asyncio.sleep(0.02)

    assert taken.is_taken is not leaves
    assert len(reported) == 1 and "waits for another" in reported[0]


async def test_the_failure_of_a_slot_that_is_given_up_counts_for_no_other() -> None:
    """A slot that fails just before it is taken anew leaves the new one as it is."""
    engine, reported = Slots(), list[str]()
    taken = slot_of(engine, reported)
    taken.take()
    engine.fail()
    taken.take_anew(None)
    await asyncio.sleep(0.001)

    assert (taken.is_taken, len(engine.held), reported) == (True, 1, [])


async def test_a_slot_that_is_taken_anew_on_a_full_worker_gets_its_memory_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where another persona took the last slot, the next that is free remembers the same."""
    monkeypatch.setattr(slot, "RETAKE_S", 0.001)
    engine = Slots()
    taken = slot_of(engine, [])
    taken.take()
    engine.is_full = True
    taken.take_anew(MEMORY)
    assert not taken.is_taken
    engine.is_full = False
    await asyncio.sleep(0.02)

    assert (taken.is_taken, taken.remembered) == (True, MEMORY)


def in_a_slot(attributes: dict[str, str]) -> tuple[RoomPersona, Any, Any]:
    """Return a persona in the only slot, what delivers a frame, and what fails the slot."""
    frames: list[Any] = []

    def join(_: object, deliver: Any, lost: Any, *__: object) -> object:
        if frames:
            raise Full("no slot is free")
        frames.extend([deliver, lost])
        return object()

    async def set_attributes(changed: dict[str, str]) -> None:
        attributes.update(changed)

    participant = SimpleNamespace(identity="agent-chef", set_attributes=set_attributes)
    events = dict.fromkeys(("on", "off"), lambda *_: None)
    room: Any = SimpleNamespace(local_participant=participant, isconnected=lambda: False, **events)
    engine: Any = SimpleNamespace(
        facts=FACTS, join=join, hush=lambda *_: None, leave=lambda *_: None
    )
    persona = RoomPersona(
        CHEF, room, engine, lambda _: None, lambda *_: None, PersonaBackup(None, ())
    )
    persona._slot.take()  # pyright: ignore[reportPrivateUsage]
    return persona, *frames


def sounding(level: float, index: int) -> SlotFrame:
    """Return a frame of a constant level."""
    return SlotFrame(np.full(1920, level, dtype=np.float32), 7, 7, index, 0.0)


async def test_two_frames_in_one_tick_are_both_heard() -> None:
    """Where a step ends after the next tick, other personas and the recording miss no frame."""
    persona, deliver, _ = in_a_slot({})
    for index, level in enumerate((0.5, 0.25)):
        deliver(sounding(level, index))
    ticks = [(persona.next_sound(), persona.sound) for _ in range(3)]
    levels = [[None if each is None else each[0] for each in tick] for tick in ticks]
    assert levels == [[0.5, 0.5], [0.25, 0.25], [None, None]]
    await persona.leave()


async def test_a_persona_that_has_lost_its_slot_neither_speaks_nor_wants_to() -> None:
    """A persona whose slot fails while it speaks gives up the floor and is shown as listening."""
    attributes: dict[str, str] = {}
    persona, deliver, lost = in_a_slot(attributes)
    deliver(sounding(0.5, 0))
    spoke = persona.floor_frame()
    await asyncio.sleep(0.01)
    state = attributes[wire.ATTR_AGENT_STATE]
    lost()
    await asyncio.sleep(0.01)

    assert (spoke.is_sounding, spoke.wants_to_speak, state) == (True, True, "speaking")
    assert persona.floor_frame() == SILENT
    assert (persona.is_quiet, attributes[wire.ATTR_AGENT_STATE]) == (True, "listening")
    await persona.leave()


@pytest.mark.parametrize("is_moved", [False, True])
async def test_a_line_is_told_as_cut_off_or_kept_for_the_next_host(is_moved: bool) -> None:
    """The next host says the lines of a room that moved, and none that a host told as cut off."""
    room: Any = SimpleNamespace(
        local_participant=SimpleNamespace(identity="agent-chef"), isconnected=lambda: False
    )
    calls = dict.fromkeys(("hush", "leave", "say"), lambda *_: None)
    engine: Any = SimpleNamespace(facts=FACTS, join=lambda *_: object(), **calls)
    kept: list[object] = []
    backup: Any = SimpleNamespace(
        begin=lambda spec, _: spec, close=lambda lines: kept.append(lines) or True
    )
    told: list[Any] = []
    persona = RoomPersona(CHEF, room, engine, told.append, lambda *_: None, backup)
    persona._slot.take()  # pyright: ignore[reportPrivateUsage]
    for line_id in ("", "7"):  # a greeting has no id
        persona._lines.add(Line(line_id, "Hello."))  # pyright: ignore[reportPrivateUsage]
    await persona.stop(is_moved=is_moved)

    greeting, line = ("", "Hello."), ("7", "Hello.")
    assert kept == [(greeting, line) if is_moved else (greeting,)]
    assert [(each.line_id, each.whole) for each in told] == ([] if is_moved else [("7", False)])
