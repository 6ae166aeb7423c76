"""The mind of one room: decides which persona answers, and withdraws lines that have not begun."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

import structlog

from mind.events import LeftToVoice, MindEvent, TroubleCode, Unanswered, Withdraw
from mind.limits import CallBudget, Warnings
from mind.pending import PendingLines
from mind.words.addressed import addressed
from mind.words.lines import FixedAnswers
from mind.words.transcript import Transcript, Turn
from protocol.events import (
    ChangedEvent,
    Event,
    FloorEvent,
    ToolEndedEvent,
    ToolStartedEvent,
    TranscriptEvent,
)
from protocol.minds import ChatMind, LinesMind
from protocol.retry import Retry
from protocol.room_spec import PersonaSpec

if TYPE_CHECKING:
    from mind.minds import Minds
    from mind.model.answer import Outlet
    from mind.tools.function import Function

# No failure of the server; another question may do.
OWN_LIMITS = frozenset[TroubleCode]({"mind_busy", "mind_flood", "mind_late"})

Fate = Literal["said", "cut_off", "refused"]
log = structlog.get_logger(__name__)


class RoomMind:
    """One room's mind. Its methods wait for nothing; all run on the event loop of its `Minds`."""

    def __init__(self, minds: "Minds", personas: Iterable[PersonaSpec]) -> None:
        """Begin with an empty transcript."""
        self._minds = minds
        self._events: asyncio.Queue[MindEvent | None] = asyncio.Queue()
        self._transcript = Transcript()
        self._budget = CallBudget(minds.limits.calls_per_minute)
        self._retry = Retry(minds.limits.first_retry_s, minds.limits.last_retry_s)
        self._last_trouble: TroubleCode = "mind_refused"  # of this room alone
        self._warnings = Warnings(minds.limits.warn_every_s)
        self._pending = PendingLines(self._events.put_nowait, minds.limits.lines_ahead)
        self._personas: dict[str, PersonaSpec] = {}
        self._fixed: dict[str, FixedAnswers] = {}
        self._forgotten: dict[str, int] = {}  # so many first turns, by persona
        self._floor: str | None = None
        self._answering: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._fillers = 0
        self._closed = False
        self.set_personas(personas)

    def set_personas(self, personas: Iterable[PersonaSpec]) -> None:
        """Set the personas that are in the room now, in the room's order."""
        self._personas = {persona.id: persona for persona in personas}
        self._minds.wake(persona.mind for persona in self._personas.values())
        self._fixed = {key: each for key, each in self._fixed.items() if key in self._personas}
        self._pending.drop_absent(set(self._personas))

    def heard(self, person: str, words: str, *, final: bool) -> None:
        """Take a person's words: the text of a segment so far, or with `final` all of it.

        Any word withdraws lines that have not begun. A final text is answered.
        """
        self._take(person, words, final=final, typed=False)

    def typed(self, person: str, line: str, sender: str = "") -> None:
        """Take a line that a person typed; it is answered like a spoken one.

        Where it gets no answer, `Unanswered` gives back `sender`.
        """
        self._take(person, line, final=True, typed=True, sender=sender)

    def persona_said(self, persona_id: str, words: str, *, final: bool = True) -> None:
        """Take the text of a persona's segment, whether it spoke by itself or was told to.

        Of one that is not final it suffices to take the first text.
        """
        if (persona := self._personas.get(persona_id)) is None:
            return
        if final:
            self._transcript.add(persona.label, words)
        if (answers := self._answers_of(persona)) is not None:
            answers.said(words if final else "")

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way, or a line of it has not ended. Any thread."""
        return bool(self._tasks) or self._pending.are_there

    def floor_changed(self, persona_id: str | None) -> None:
        """Note which persona has the floor; after it was lost, the last one still counts."""
        self._floor = persona_id or self._floor

    def forget(self, persona_id: str) -> None:
        """Let a persona, or all where the id is empty, know nothing of what was said so far."""
        for forgetful in [persona_id] if persona_id else self._personas:
            self._forgotten[forgetful] = self._transcript.count
            self._fixed.pop(forgetful, None)

    def recall(self, events: Iterable[Event], names: Mapping[str, str]) -> None:
        """Take the room's events so far in place of the transcript; none of them is answered.

        `names`: of people, by identity.
        """
        self._transcript, self._forgotten = Transcript(), {}
        for event in events:
            match event:
                case TranscriptEvent(final=True, persona_id=""):
                    name = names.get(event.identity, event.identity)
                    self._transcript.add(name, event.text, typed=event.typed)
                case TranscriptEvent(final=True):
                    self.persona_said(event.persona_id, event.text)
                case ToolStartedEvent() if event.persona_id in self._personas:
                    label = self._personas[event.persona_id].label
                    self._transcript.called(label, event.call_id, event.tool)
                case ToolEndedEvent():
                    self._transcript.ended(event.call_id, ok=event.ok)
                case FloorEvent():
                    self.floor_changed(event.persona_id or None)
                case ChangedEvent(change="forget"):
                    self.forget(event.persona_id)
                case _:
                    pass

    def line_ended(self, line_id: str, fate: Fate) -> None:
        """Note that a line of `Say` has ended.

        After one that was cut off, the rest of the answer is not said. One that was refused, as the
        persona cannot say it, is passed over; where all were, the question has no answer.
        """
        if self._pending.ended(line_id, was_refused=fate == "refused") and fate == "cut_off":
            self.stop()
        self._pending.go_on()

    def stop(self) -> None:
        """Break off the answer, and withdraw its lines that have not begun."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        if withdrawn := self._pending.drop():
            self._events.put_nowait(Withdraw(withdrawn))

    async def events(self) -> AsyncIterator[MindEvent]:
        """Yield what happens, for one reader, until the room is closed."""
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

    def _take(self, person: str, words: str, *, final: bool, typed: bool, sender: str = "") -> None:
        is_empty = not words.strip() if typed else not any(map(str.isalnum, words))
        if self._closed or is_empty:
            return
        self.stop()
        if not final or (turn := self._transcript.add(person, words, typed=typed)) is None:
            return
        unanswered = Unanswered(sender) if typed else None
        persona = self._addressed(turn.text)
        table = self._minds.table(persona.mind) if persona is not None else None
        if persona is None or table is None:
            self._end_answer(unanswered)
        elif isinstance(table, LinesMind):
            self._answer_by_line(persona, turn, unanswered)
        elif not (is_there := self._minds.retry.ready) or not self._retry.ready:
            self._warn(self._last_trouble if is_there else self._minds.last_trouble)
            self._end_answer(unanswered)
        else:
            thinking = self._think(persona, table, unanswered)
            self._answering = asyncio.create_task(thinking, name="mind")
            self._tasks.add(self._answering)
            self._answering.add_done_callback(self._tasks.discard)

    def _addressed(self, words: str) -> PersonaSpec | None:
        """Return the persona that is to answer; None: there is none, or it is muted."""
        labels = {persona.id: persona.label for persona in self._personas.values()}
        persona = self._personas.get(addressed(words, labels, self._floor) or "")
        return None if persona is None or persona.muted else persona

    def _end_answer(self, unanswered: Unanswered | None) -> None:
        self._pending.end_answer(LeftToVoice() if unanswered is None else unanswered)

    def _answer_by_line(
        self, persona: PersonaSpec, turn: Turn, unanswered: Unanswered | None
    ) -> None:
        answers = self._answers_of(persona)
        if answers and (sentence := answers.answer(turn.text, turn.speaker)) is not None:
            self._pending.add(persona.id, sentence)
        self._end_answer(unanswered)

    def _answers_of(self, persona: PersonaSpec) -> FixedAnswers | None:
        """Return the fixed answers of a persona; None: it has another mind, or none."""
        table = self._minds.table(persona.mind)
        if persona.id not in self._fixed and isinstance(table, LinesMind):
            self._fixed[persona.id] = FixedAnswers(table, persona.greeting)
        return self._fixed.get(persona.id)

    async def _think(
        self, persona: PersonaSpec, table: ChatMind, unanswered: Unanswered | None
    ) -> None:
        """Ask the model. Whatever goes wrong is a warning: the voice goes on by itself."""
        from mind.model.answer import ModelAnswer  # as in `Minds`

        minds, typed = self._minds, unanswered is not None
        try:
            functions = await self._functions(persona.mind)
            outlet = self._outlet(persona, table)
            answer = ModelAnswer(
                minds.model, functions, persona, minds.limits, self._budget, outlet
            )
            known = self._transcript.text(self._forgotten.get(persona.id, 0))
            await answer.run(table.prompt, known, typed=typed)
        except Exception as error:
            self._failed(persona.mind, error)
        else:
            minds.worked()
            self._retry.worked()
            self._warnings.worked("mind")
        if unanswered is not None:
            self._pending.end_answer(unanswered)

    async def _functions(self, mind: str) -> "Mapping[str, Function]":
        """Return the functions that can be called now; warn where a server of some is away."""
        toolbox = self._minds.toolbox(mind)
        if await toolbox.connect(self._minds.limits.tool_wait_s):
            self._warnings.worked("tool")
        else:
            self._warn("tool_away")
        return toolbox.functions()

    def _failed(self, mind: str, error: Exception) -> None:
        from mind.model.trouble import about, asks_to_wait_s, is_of_server, trouble_code

        code = trouble_code(error)
        log.warning("mind_trouble", code=code, **about(error))
        if is_of_server(error):
            self._minds.failed(mind, code, asks_to_wait_s(error))
        elif code not in OWN_LIMITS:
            self._last_trouble = code
            self._retry.failed()
        self._warn(code)

    def _outlet(self, persona: PersonaSpec, table: ChatMind) -> "Outlet":
        """Make the way out for one answer; it is shut once another answer has begun."""
        from mind.model.answer import Outlet

        task = asyncio.current_task()
        filled = False

        def say(sentence: str) -> None:
            if self._answering is task:
                self._pending.add(persona.id, sentence)

        def fill() -> None:
            nonlocal filled
            if table.fillers and not filled and self._answering is task:
                filled = True
                sentence = table.fillers[self._fillers % len(table.fillers)]
                self._pending.add(persona.id, sentence, is_filler=True)
                self._fillers += 1

        def ended(call_id: str, ok: bool) -> None:
            self._transcript.ended(call_id, ok=ok)

        called = partial(self._transcript.called, persona.label)
        return Outlet(say, fill, self._events.put_nowait, called, ended)

    def _warn(self, code: TroubleCode) -> None:
        if (trouble := self._warnings.trouble(code)) is not None:
            self._events.put_nowait(trouble)
