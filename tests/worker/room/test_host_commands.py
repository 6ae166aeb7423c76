"""Commands for a room's personas: when they are carried out, refused, or left."""

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from harness.person import eventually
from protocol.commands import TAKEN, Answer, Command
from worker.background_tasks import BackgroundTasks
from worker.room import host_commands
from worker.room.host_commands import HostCommands

SAY = Command(id="one", room="kitchen", generation=2, do="say", text="Dinner is ready.")
LATER_S = 60.0


class Scene:
    """Commands of a room, and those that its personas carried out."""

    def __init__(self) -> None:
        self.done: list[Command] = []
        self.commands = HostCommands(BackgroundTasks("host", "kitchen"))
        self.personas: Any = SimpleNamespace(execute=self._execute)

    def ask(self, within_s: float = LATER_S) -> Future[Answer]:
        """Ask for a command that has to begin within a time."""
        return self.commands.execute(SAY, time.monotonic() + within_s)

    def _execute(self, command: Command) -> Answer:
        self.done.append(command)
        return TAKEN


async def answer_of(asked: Future[Answer]) -> Answer:
    """Return the answer once it is there."""
    await eventually(asked.done, "an answer")
    return asked.result()


async def test_a_command_waits_for_the_personas() -> None:
    """A command that comes while the personas join is carried out once they have."""
    scene = Scene()
    asked = scene.ask()
    scene.commands.begin(scene.personas, None)

    assert await answer_of(asked) == TAKEN
    assert scene.done == [SAY]


async def test_a_command_after_its_deadline_is_not_carried_out() -> None:
    """A command that cannot begin in time is left: who asked has been told that it was not done."""
    scene = Scene()
    late = scene.ask(within_s=-0.001)
    scene.commands.begin(scene.personas, None)
    await answer_of(scene.ask())

    assert not late.done()
    assert len(scene.done) == 1


async def test_without_personas_a_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the personas do not join in time, or have left, a command is refused."""
    monkeypatch.setattr(host_commands, "JOIN_WAIT_S", 0.01)
    scene = Scene()
    early = (await answer_of(scene.ask())).refusal
    scene.commands.begin(scene.personas, None)
    scene.commands.end()
    late = (await answer_of(scene.ask())).refusal

    assert (early, late) == ("starting", "starting")
    assert scene.done == []
