"""A persona that joins a room that is served already; stand-ins replace LiveKit and slots."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from protocol import wire
from protocol.config.settings import Settings
from protocol.events import Event, WarningEvent
from protocol.personas import Persona
from protocol.retry import Retry
from protocol.room_spec import RoomSpec, persona_specs
from worker.engine.model import ModelFacts
from worker.engine.slots import Full
from worker.room import personas as personas_module
from worker.room.personas import FIRST_RETRY_S, RoomPersonas

SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="one",
    personas=persona_specs([Persona(name="chef", label="Chef")]),
)
MORE = SPEC.model_copy(
    update={"personas": (*SPEC.personas, *persona_specs([Persona(name="anna", label="Anna")]))}
)


class Standing:
    """A stand-in for a persona, with what it was told to do."""

    def __init__(self, spec: Any, room: Any, *_: Any, **__: Any) -> None:
        self.spec, self.room, self.stands_by = spec, room, False
        self.calls: list[str] = []

    async def stand_by(self, _: object) -> None:
        self.calls.append("stand_by")
        self.stands_by = True

    async def start(self, _: object) -> None:
        self.calls.append("start")

    async def take_over(self) -> None:
        self.calls.append("take_over")
        self.stands_by = False

    def mute(self, _: bool) -> None:
        pass

    async def leave(self) -> None:
        self.calls.append("leave")

    def drop_backup(self) -> None:
        self.calls.append("drop_backup")


def room_personas(
    emit: Callable[[Event], None] = lambda _: None, *, stands_by: bool = False
) -> RoomPersonas:
    """Return the personas of a room on a worker with two free slots."""
    job_room: Any = SimpleNamespace(isconnected=lambda: True)
    engine = SimpleNamespace(
        facts=ModelFacts("echo", (), None, padding=3), refuse_if_full=lambda: None
    )
    reports = SimpleNamespace(changed=lambda: None)
    context: Any = SimpleNamespace(engine=engine, settings=Settings(), reports=reports)
    backup: Any = SimpleNamespace(of=lambda _: None)
    return RoomPersonas(
        job_room, SPEC, context, emit, lambda: None, backup, bool, stands_by=stands_by
    )


def is_full() -> None:
    """Refuse a slot."""
    raise Full("all 2 slots are taken")


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have personas join without LiveKit; return the names of those that have."""
    joined: list[str] = []

    async def connect(spec: Any, *_: Any) -> Any:
        joined.append(spec.name)
        return SimpleNamespace(isconnected=lambda: True)

    monkeypatch.setattr(personas_module, "connect", connect)
    monkeypatch.setattr(personas_module, "RoomPersona", Standing)
    return joined


async def test_a_persona_without_a_slot_does_not_appear(joined: list[str]) -> None:
    """While a worker is full, a persona that is missing joins no room to leave it again."""
    told: list[Event] = []
    personas = room_personas(told.append)
    await personas.apply_spec(SPEC)
    personas._context.engine.refuse_if_full = is_full  # pyright: ignore
    await personas.apply_spec(MORE)

    assert joined == []
    assert [(each.code, each.detail) for each in told if isinstance(each, WarningEvent)] == [
        ("full", "all 2 slots are taken")
    ]


async def test_after_its_connection_has_ended_a_host_lets_no_persona_join(
    joined: list[str],
) -> None:
    """A host whose connection LiveKit has ended is about to leave: personas neither go nor come."""
    told: list[Event] = []
    personas = room_personas(told.append)
    await personas.apply_spec(SPEC)
    before = personas.present
    personas._job_room.isconnected = lambda: False  # pyright: ignore
    await personas.apply_spec(MORE)

    assert (joined, told, personas.present) == ([], [], before)


async def test_a_persona_that_loses_its_connection_once_a_while_is_back_as_soon_each_time(
    joined: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits double only from one loss to a next one soon after it: calls last for hours."""
    now_s = 0.0

    async def disconnect() -> None:
        """Do nothing."""

    monkeypatch.setattr(personas_module, "Retry", partial(Retry, clock=lambda: now_s))
    personas = room_personas()
    await personas.apply_spec(MORE)
    for _ in range(6):
        anna: Any = personas.present[1]
        anna.room = SimpleNamespace(isconnected=lambda: False, disconnect=disconnect)
        await personas.apply_spec(MORE)
        now_s += FIRST_RETRY_S
        await personas.apply_spec(MORE)
        now_s += 3600.0

    assert joined == ["anna"] * 7


async def test_a_persona_that_joined_hidden_is_shown_although_its_host_takes_over_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A persona that joined as one that stands by takes over, and loses the mark that hides it."""
    connecting, may_join = asyncio.Event(), asyncio.Event()
    joined_with: dict[str, str] = {}

    async def connect(_: Any, attributes: dict[str, str], *__: Any) -> Any:
        joined_with.update(attributes)
        connecting.set()
        await may_join.wait()
        return SimpleNamespace(isconnected=lambda: True)

    monkeypatch.setattr(personas_module, "connect", connect)
    monkeypatch.setattr(personas_module, "RoomPersona", Standing)
    personas = room_personas(stands_by=True)
    await personas.apply_spec(SPEC)
    joining = asyncio.create_task(personas.apply_spec(MORE))
    await connecting.wait()
    await personas.take_over("")
    may_join.set()
    await joining

    anna: Any = personas.present[1]
    assert wire.ATTR_ON_BEHALF in joined_with
    assert anna.calls == ["stand_by", "take_over"]
