"""What a room's host does when something fails; a stand-in replaces LiveKit's room."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.heartbeat import RoomOutcome
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.hosts import SESSION_ENDED, Hosts
from worker.room import host as host_module
from worker.room.host import FAILED, Host
from worker.room.people_words import LAST_WORDS_S

SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="one",
    personas=persona_specs([Persona(name="chef", label="Chef", prompt="Cook.")]),
)


class Scene:
    """A host whose personas cannot join, and the lines that people read."""

    def __init__(self, *, stands_by: bool, disconnects: bool = True) -> None:
        self.hosts = Hosts()
        self.typed: list[str] = []
        self.apply_spec: Any = _fail
        room: Any = SimpleNamespace(
            name=SPEC.room,
            on=lambda *_: None,
            remote_participants={},
            isconnected=lambda: True,
            disconnect=self._disconnect if disconnects else _fail,
        )
        ctx: Any = SimpleNamespace(
            room=room,
            connect=_nothing,
            job=SimpleNamespace(id="AJ_1"),
            shutdown=lambda reason: None,
        )
        context: Any = SimpleNamespace(
            backups=None,
            engine=SimpleNamespace(model=SimpleNamespace(name="echo")),
            settings=SimpleNamespace(empty_room_grace_s=1.0),
            hosts=self.hosts,
            changed=lambda: None,
            admission=SimpleNamespace(release=lambda _: None, took=lambda _: None),
            minds=None,
            recogniser=None,
            recordings=None,
            emit=lambda *_: None,
        )
        self.host = Host(ctx, SPEC, context, stands_by=stands_by)

    async def _disconnect(self) -> None:
        pass

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
        [hosting] = made.hosts.all()
        hosting.leave(SESSION_ENDED if ends else "a newer host is here")
        await asyncio.sleep(0.01)
        raise TimeoutError

    made.apply_spec = end
    await made.host.run()
    assert waited_s == [LAST_WORDS_S if ends else 0.0]


async def test_a_host_that_cannot_disconnect_counts_as_failed(scene: Callable[..., Scene]) -> None:
    """A host that cannot disconnect hosts no room, so that another host is dispatched."""
    made = scene(stands_by=False, disconnects=False)

    with pytest.raises(TimeoutError):
        await made.host.run()

    assert made.hosts.outcomes() == {"kitchen": RoomOutcome(generation=2, outcome="failed")}
