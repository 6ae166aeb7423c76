"""A persona that joins while its room changes its host; stand-ins replace LiveKit and slots."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from protocol import wire
from protocol.config.settings import Settings
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.room import personas as personas_module
from worker.room.personas import RoomPersonas

SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="one",
    personas=persona_specs([Persona(name="chef", label="Chef")]),
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
    job_room: Any = SimpleNamespace(isconnected=lambda: True)
    model = SimpleNamespace(pieces=(), name="echo")
    context: Any = SimpleNamespace(
        engine=SimpleNamespace(model=model), settings=Settings(), changed=lambda: None
    )
    backup: Any = SimpleNamespace(of=lambda _: None)
    personas = RoomPersonas(
        job_room, SPEC, context, lambda _: None, lambda: None, backup, bool, stands_by=True
    )
    await personas.apply_spec(SPEC)
    more = SPEC.model_copy(
        update={"personas": (*SPEC.personas, *persona_specs([Persona(name="anna", label="Anna")]))}
    )
    joining = asyncio.create_task(personas.apply_spec(more))
    await connecting.wait()
    await personas.take_over("")
    may_join.set()
    await joining

    anna: Any = personas.present[1]
    assert wire.ATTR_ON_BEHALF in joined_with
    assert anna.calls == ["stand_by", "take_over"]
