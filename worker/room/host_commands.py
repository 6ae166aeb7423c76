"""Commands for a room's personas, from any thread: they are carried out on the room's loop."""

import asyncio
import time
from concurrent.futures import Future
from contextlib import suppress

import structlog

from protocol.commands import TAKEN, Answer, Command
from worker.background_tasks import BackgroundTasks
from worker.room.mind_connection import MindConnection
from worker.room.personas import RoomPersonas

log = structlog.get_logger(__name__)

JOIN_WAIT_S = 1.5  # people see and hear a persona some moments before its host knows it joined


class HostCommands:
    """Carries out commands once the personas have joined."""

    def __init__(self, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._joined = asyncio.Event()
        self._personas: RoomPersonas | None = None
        self._mind: MindConnection | None = None

    def begin(self, personas: RoomPersonas, mind: MindConnection | None) -> None:
        """Carry out commands from now on: the personas have joined."""
        self._personas, self._mind = personas, mind
        self._joined.set()

    def end(self) -> None:
        """Refuse commands from now on: the personas leave."""
        self._personas = None

    def execute(self, command: Command, until_s: float) -> Future[Answer]:
        """Carry out a command, unless it cannot begin until a monotonic time. Any thread.

        The answer then never comes: its asker waits no more.
        """
        answer: Future[Answer] = Future()
        try:
            self._loop.call_soon_threadsafe(
                lambda: self._tasks.spawn(self._execute(command, until_s, answer))
            )
        except RuntimeError:  # the loop is closed
            answer.set_result(Answer(refusal="not_live", detail="The session's host has left."))
        return answer

    async def _execute(self, command: Command, until_s: float, answer: Future[Answer]) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._joined.wait(), JOIN_WAIT_S)
        if time.monotonic() > until_s:
            return
        if self._personas is None:
            answer.set_result(Answer(refusal="starting", detail="The personas are still joining."))
            return
        try:
            done = self._personas.execute(command)
            if command.do == "forget" and done == TAKEN and self._mind is not None:
                self._mind.forget(command.persona_id)
            answer.set_result(done)
        except Exception as error:
            log.exception("command_failed", do=command.do)
            answer.set_exception(error)
