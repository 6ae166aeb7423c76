"""The mind of one room: decides which persona answers, and takes back what is not yet said."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Literal

import structlog

from mind.events import MindEvent, TroubleCode, Withdraw
from mind.limits import CallBudget, Warnings
from mind.model.answer import Answer, Outlet
from mind.model.trouble import trouble_code
from mind.pending import PendingLines
from mind.persona import PersonaInRoom
from mind.words.addressed import addressed
from mind.words.lines import FixedAnswers
from mind.words.transcript import Transcript
from protocol.minds import ChatMind, LinesMind

if TYPE_CHECKING:
    from mind.minds import Minds

OWN_LIMITS = frozenset[TroubleCode]({"mind_busy", "mind_flood"})  # no failure of the server

Fate = Literal["said", "cut_off", "refused"]
log = structlog.get_logger(__name__)


class RoomMind:
    """One room's mind. Its methods wait for nothing; all run on the event loop of its `Minds`."""

    def __init__(self, minds: "Minds", personas: Iterable[PersonaInRoom]) -> None:
        """Begin with an empty transcript."""
        self._minds = minds
        self._events: asyncio.Queue[MindEvent | None] = asyncio.Queue()
        self._transcript = Transcript()
        self._budget = CallBudget(minds.limits.calls_per_minute)
        self._warnings = Warnings(minds.limits.warn_every_s)
        self._pending = PendingLines(self._events.put_nowait, minds.limits.lines_ahead)
        self._personas: dict[str, PersonaInRoom] = {}
        self._fixed: dict[str, FixedAnswers] = {}
        self._floor: str | None = None
        self._answering: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._fillers = 0
        self._closed = False
        self.set_personas(personas)

    def set_personas(self, personas: Iterable[PersonaInRoom]) -> None:
        """Note who is in the room now, in the room's order."""
        self._personas = {persona.id: persona for persona in personas}
        self._fixed = {key: each for key, each in self._fixed.items() if key in self._personas}
        self._pending.drop_absent(set(self._personas))

    def heard(self, person: str, words: str, *, final: bool) -> None:
        """Take what a person said: the text of a segment so far, or with `final` all of it.

        Any word withdraws what is not yet said. A final text is answered.
        """
        self._take(person, words, final=final, typed=False)

    def typed(self, person: str, line: str) -> None:
        """Take a line that a person typed; it is answered like a spoken one."""
        self._take(person, line, final=True, typed=True)

    def persona_said(self, persona_id: str, words: str) -> None:
        """Take the final text of what a persona said, by itself or because it was told to."""
        if (persona := self._personas.get(persona_id)) is not None:
            self._transcript.add(persona.label, words)

    def floor_changed(self, persona_id: str | None) -> None:
        """Note which persona has the floor; after it was lost, the last one still counts."""
        self._floor = persona_id or self._floor

    def line_ended(self, line_id: str, fate: Fate) -> None:
        """Note that a line of `Say` has ended.

        After one that was cut off, the rest of the answer is not said. One that was refused, as the
        persona cannot say it, is passed over.
        """
        if self._pending.ended(line_id) and fate == "cut_off":
            self.stop()
        self._pending.go_on()

    def stop(self) -> None:
        """Break off the answer, and withdraw what is not yet said of it."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        if withdrawn := self._pending.drop():
            self._events.put_nowait(Withdraw(withdrawn))

    async def events(self) -> AsyncIterator[MindEvent]:
        """Give what happens, for one reader, until the room is closed."""
        while (event := await self._events.get()) is not None:
            yield event
            self._events.task_done()

    async def settle(self) -> None:
        """Wait until no answer is under way and the reader of `events` has dealt with each."""
        await self._end_of_tasks()
        await self._events.join()

    async def aclose(self) -> None:
        """Break off the answer; `events` ends."""
        self._closed = True
        self.stop()
        await self._end_of_tasks()
        self._events.put_nowait(None)

    async def _end_of_tasks(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _take(self, person: str, words: str, *, final: bool, typed: bool) -> None:
        if self._closed or not words.strip():
            return
        self.stop()
        if final and (turn := self._transcript.add(person, words, typed=typed)) is not None:
            self._answer(turn.text)

    def _answer(self, words: str) -> None:
        labels = {persona.id: persona.label for persona in self._personas.values()}
        persona = self._personas.get(addressed(words, labels, self._floor) or "")
        table = self._minds.table(persona.mind) if persona is not None else None
        if persona is None or table is None:
            return
        if isinstance(table, LinesMind):
            self._answer_by_line(persona, table, words)
        elif not self._minds.retry.ready:
            self._warn(self._minds.last_trouble)
        else:
            self._answering = asyncio.create_task(self._think(persona, table), name="mind")
            self._tasks.add(self._answering)
            self._answering.add_done_callback(self._tasks.discard)

    def _answer_by_line(self, persona: PersonaInRoom, table: LinesMind, words: str) -> None:
        answers = self._fixed.setdefault(persona.id, FixedAnswers(table))
        if (sentence := answers.answer(words)) is not None:
            self._pending.add(persona.id, sentence)

    async def _think(self, persona: PersonaInRoom, table: ChatMind) -> None:
        """Ask the model. Whatever goes wrong is a warning: the voice goes on by itself."""
        assert persona.mind is not None
        minds = self._minds
        try:
            toolbox = minds.toolbox(persona.mind)
            if await toolbox.connect(minds.limits.tool_wait_s):
                self._warnings.worked("tool")
            else:
                self._warn("tool_away")
            outlet = self._outlet(persona, table)
            answer = Answer(
                minds.model, toolbox.functions(), persona, minds.limits, self._budget, outlet
            )
            await answer.run(table.prompt, self._transcript.text())
        except Exception as error:
            self._failed(error)
        else:
            minds.retry.worked()
            self._warnings.worked("mind")

    def _failed(self, error: Exception) -> None:
        code = trouble_code(error)
        # The error's text stays out of the log: a server's message may show a key or words.
        log.warning("mind_trouble", code=code, error=type(error).__name__)
        if code not in OWN_LIMITS:
            self._minds.last_trouble = code
            self._minds.retry.failed()
        self._warn(code)

    def _outlet(self, persona: PersonaInRoom, table: ChatMind) -> Outlet:
        """Make the way out for one answer; it is shut once another answer has begun."""
        task = asyncio.current_task()
        filled = False

        def say(sentence: str) -> None:
            if self._answering is task:
                self._pending.add(persona.id, sentence)

        def fill() -> None:
            nonlocal filled
            if table.fillers and not filled:
                filled = True
                say(table.fillers[self._fillers % len(table.fillers)])
                self._fillers += 1

        return Outlet(say, fill, self._events.put_nowait)

    def _warn(self, code: TroubleCode) -> None:
        if (trouble := self._warnings.trouble(code)) is not None:
            self._events.put_nowait(trouble)
