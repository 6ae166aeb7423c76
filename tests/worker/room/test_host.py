"""What a room's host does when something fails; a stand-in replaces LiveKit's room."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.room import host as host_module
from worker.room.host import FAILED, Host
from worker.room.job import SESSION_ENDED, RoomJob
from worker.room.people_words import LAST_WORDS_S

SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="one",
    personas=persona_specs([Persona(name="chef", label="Chef", prompt="Cook.")]),
)


class Room:
    """A stand-in for LiveKit's room."""

    name = SPEC.room

    def __init__(self) -> None:
        self.remote_participants: dict[str, Any] = {}

    def on(self, *_: Any) -> None:
        """Call nothing."""

    def isconnected(self) -> bool:
        return True

    async def connect(self, *_: Any) -> None:
        """Connect."""

    async def disconnect(self) -> None:
        """Disconnect."""


class Scene:
    """A host whose personas cannot join, and the lines that people read."""

    def __init__(self, *, stands_by: bool) -> None:
        self.typed: list[str] = []
        self.apply_spec: Any = _fail
        context: Any = SimpleNamespace(
            backups=None,
            engine=SimpleNamespace(facts=SimpleNamespace(name="echo")),
            settings=SimpleNamespace(empty_room_grace_s=1.0),
            reports=SimpleNamespace(
                changed=lambda: None,
                needs_no_more_slots=lambda _: None,
            ),
            minds=None,
            recogniser=None,
            recordings=None,
            emit=lambda *_: None,
        )
        job = RoomJob("AJ_1", "ws://livekit.invalid", "token", SPEC, stands_by)
        self.host = Host(job, context)

    def chat(self, *_: Any) -> Any:
        """Return a stand-in for the room's typed lines."""
        return SimpleNamespace(send=self._type, close=lambda: None)

    def personas(self, *_: Any, **__: Any) -> Any:
        """Return a stand-in for personas that cannot join."""
        return SimpleNamespace(
            apply_spec=self.apply_spec,
            leave=_nothing,
            present=[],
            tick=lambda *_: None,
            take_words=lambda _: None,
        )

    async def _type(self, text: str) -> None:
        self.typed.append(text)


async def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _fail(*_: Any, **__: Any) -> None:
    raise TimeoutError


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    """Return a function that makes a scene."""

    def make(**about: bool) -> Scene:
        monkeypatch.setattr(host_module.rtc, "Room", Room)
        made = Scene(**about)
        monkeypatch.setattr(host_module, "Chat", made.chat)
        monkeypatch.setattr(host_module, "RoomPersonas", made.personas)
        return made

    return make


@pytest.mark.parametrize("stands_by", [False, True])
async def test_only_the_failure_of_a_rooms_own_host_is_written_to_people(
    scene: Callable[..., Scene], stands_by: bool
) -> None:
    """People read that the voices come back, but nothing of a failed host that stands by."""
    made = scene(stands_by=stands_by)

    await made.host.run()

    assert made.typed == ([] if stands_by else [FAILED])


@pytest.mark.parametrize("ends", [True, False])
async def test_the_last_words_of_a_session_are_waited_for(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Words come later than they were said; where a next host is to come, nothing is waited for."""
    waited_s: list[float] = []

    async def close(within_s: float) -> None:
        waited_s.append(within_s)

    words = SimpleNamespace(tick=lambda _: None, aclose=close, is_listening=False)
    monkeypatch.setattr(host_module, "PeopleWords", lambda *_: words)
    made = scene(stands_by=False)

    async def end(*_: Any) -> None:
        made.host.leave(SESSION_ENDED if ends else "a newer host is here")
        await asyncio.sleep(0.01)
        raise TimeoutError

    made.apply_spec = end
    await made.host.run()
    assert waited_s == [LAST_WORDS_S if ends else 0.0]


@pytest.mark.parametrize("fails", [False, True])
async def test_how_a_host_ended_is_known(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A host tells whether it left or failed: after a failure another one is dispatched."""
    words = SimpleNamespace(tick=lambda _: None, aclose=_nothing, is_listening=False)
    monkeypatch.setattr(host_module, "PeopleWords", lambda *_: words)
    made = scene(stands_by=False)

    async def leave(*_: Any) -> None:
        made.host.leave(SESSION_ENDED)

    made.apply_spec = _fail if fails else leave

    assert await made.host.run() == ("failed" if fails else "left")
