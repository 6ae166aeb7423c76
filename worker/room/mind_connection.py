"""Connects a room with its mind: its events go in, lines and events come out. Room's event loop."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from livekit import rtc

from mind.events import (
    LeftToVoice,
    MindEvent,
    Say,
    ToolEnded,
    ToolStarted,
    Trouble,
    Unanswered,
    Withdraw,
)
from mind.room import RoomMind
from mind.thread import MindThread
from mind.words.addressed import first_name
from protocol import wire
from protocol.events import (
    Event,
    FloorEvent,
    MindSaidEvent,
    ToolEndedEvent,
    ToolStartedEvent,
    TranscriptEvent,
    WarningEvent,
)
from protocol.minds import LinesMind
from protocol.room_spec import RoomSpec
from worker.background_tasks import BackgroundTasks
from worker.loops import call_on_loop
from worker.room.people_words import LAST_WORDS_S
from worker.room.persona.lines import Line
from worker.room.personas import RoomPersonas

ReadEvents = Callable[[str], Awaitable[Sequence[Event]]]  # of a room


class MindConnection:
    """One room's connection with its mind, which runs on the minds' thread."""

    def __init__(
        self,
        minds: MindThread,
        spec: RoomSpec,
        room: rtc.Room,
        personas: RoomPersonas,
        emit: Callable[[Event], None],
        cannot_read: Callable[[str], None],
    ) -> None:
        """`cannot_read(identity)` tells a person that the line that it typed is not answered."""
        self._spec, self._room = spec, room
        self._personas = personas
        self._emit = emit
        self._cannot_read = cannot_read
        self._loop = asyncio.get_running_loop()
        self._tasks = BackgroundTasks("mind", spec.room)
        self._has_warned_of_lines = self._has_recalled = False
        self._held: list[Event] | None = None  # while it is told what was before
        self._paused_s = -math.inf  # when a person fell silent whose words are not known yet
        self._minds = minds
        self._lines: dict[str, LinesMind] = {}  # by persona's id
        self._begun: dict[str, str] = {}  # segments, the latest by persona's id
        self._mind = minds.open_room(spec.personas, self._on_event)
        self._note_lines(spec)
        self._left: dict[str, str] = {}  # names by identity: words come after they were said
        room.on("participant_disconnected", self._note_name)

    def apply_spec(self, spec: RoomSpec) -> None:
        """Tell the mind which personas the room has now, and which are muted."""
        self._mind.call(RoomMind.set_personas, spec.personas)
        self._note_lines(spec)

    def recall(self, read_events: ReadEvents) -> None:
        """Tell the mind, once, what was said in this session before its host came."""
        if not self._has_recalled:
            self._has_recalled, self._held = True, []
            self._tasks.spawn(self._recall(read_events))

    async def _recall(self, read_events: ReadEvents) -> None:
        spec, people = self._spec, self._room.remote_participants.values()
        before = await read_events(spec.room)
        held, self._held = self._held or [], None
        events = [each for each in before if each.at_s >= spec.opened_s and each not in held]
        names = self._left | {each.identity: each.name or each.identity for each in people}
        self._mind.call(RoomMind.recall, events, names)
        for each in held:
            self.take(each)

    def forget(self, persona_id: str) -> None:
        """Tell the mind that a persona, or all where the id is empty, begins anew."""
        self._mind.call(RoomMind.forget, persona_id)

    def likely(self) -> str:
        """Return what people may well say: sentences that fixed lines answer, and whom they call.

        A recogniser may read the end alone: what several personas answer comes late, names last.
        """
        said = Counter(each for mind in self._lines.values() for each in mind.likely)
        names = self._names if len(self._names) > 1 else []
        return " ".join([*sorted(said, key=said.__getitem__), *(f"{each}!" for each in names)])

    @property
    def may_answer(self) -> bool:
        """Whether the mind answers, or may soon: it has yet to learn what a person just said."""
        return self._mind.is_answering or self._loop.time() - self._paused_s < LAST_WORDS_S

    def people_paused(self, is_paused: bool) -> None:
        """Let personas with fixed lines wait until the words are known and a line answers them.

        A language model takes too long for that.
        """
        if not is_paused:
            return self._go_on()
        self._paused_s = self._loop.time()
        for persona in self._personas.present:
            if persona.spec.id in self._lines:
                persona.wait_for_mind()

    def take(self, event: Event) -> None:
        """Tell the mind what happened in the room: words, the floor, ends of its own lines."""
        if self._held is not None:
            self._held.append(event)
            return
        match event:
            case TranscriptEvent(persona_id=""):
                self._take_words(event)
            case TranscriptEvent(final=True):
                self._mind.call(RoomMind.persona_said, event.persona_id, event.text)
            case TranscriptEvent() if self._begun.get(event.persona_id) != event.segment_id:
                self._begun[event.persona_id] = event.segment_id
                self._mind.call(RoomMind.persona_said, event.persona_id, event.text, final=False)
            case FloorEvent():
                self._mind.call(RoomMind.floor_changed, event.persona_id or None)
            case MindSaidEvent():
                fate = "said" if event.whole else "cut_off"
                self._mind.call(RoomMind.line_ended, event.line_id, fate)
                self._publish(event)
            case _:
                pass

    def close(self) -> None:
        """End the room's mind."""
        self._mind.close()
        self._tasks.cancel()

    def _take_words(self, event: TranscriptEvent) -> None:
        if event.final:
            self._paused_s = -math.inf
        person = self._room.remote_participants.get(event.identity)
        left = self._left.get(event.identity, "")
        name = (person.name if person is not None else left) or event.identity
        if event.typed:
            self._mind.call(RoomMind.typed, name, event.text, event.identity)
        else:
            self._mind.call(RoomMind.heard, name, event.text, final=event.final)

    def _note_name(self, person: rtc.RemoteParticipant) -> None:
        self._left[person.identity] = person.name

    def _note_lines(self, spec: RoomSpec) -> None:
        tables = {each.id: self._minds.tables.get(each.mind) for each in spec.personas}
        self._lines = {key: each for key, each in tables.items() if isinstance(each, LinesMind)}
        self._names = [name for each in spec.personas if (name := first_name(each.label))]

    def _on_event(self, event: MindEvent) -> None:
        """Take an event of the mind. The minds' thread."""
        call_on_loop(self._loop, self._handle, event)

    def _handle(self, event: MindEvent) -> None:
        match event:
            case Say():
                self._say(event)
            case Withdraw():
                for persona in self._personas.present:
                    persona.withdraw(event.line_ids)
            case ToolStarted():
                self._report(ToolStartedEvent(**self._fields_of(event)))
            case ToolEnded():
                self._report(ToolEndedEvent(**self._fields_of(event)))
            case Trouble():
                self._warn(event.code, event.detail)
            case Unanswered():
                self._cannot_read(event.sender)
            case LeftToVoice():
                self._go_on()

    def _go_on(self) -> None:
        for persona in self._personas.present:
            persona.go_on()

    def _say(self, event: Say) -> None:
        line = Line(event.line_id, event.sentence, is_minds=True)
        answer = self._personas.say_for_mind(event.persona_id, line)
        if answer.refusal is None:
            return
        if answer.refusal == "cannot_say" and not self._has_warned_of_lines:
            self._has_warned_of_lines = True
            self._warn("mind_cannot_say", "The model can say only lines that it learned.")
        self._mind.call(RoomMind.line_ended, event.line_id, "refused")

    def _fields_of(self, event: ToolStarted | ToolEnded) -> dict[str, Any]:
        """Return an event's fields, with the persona's name and identity, "" where it has left."""
        persona = self._personas.get(event.persona_id)
        name, identity = ("", "") if persona is None else (persona.spec.name, persona.identity)
        return asdict(event) | {"at_s": time.time(), "persona": name, "identity": identity}

    def _warn(self, code: str, detail: str) -> None:
        self._report(WarningEvent(at_s=time.time(), code=code, detail=detail))

    def _report(self, event: ToolStartedEvent | ToolEndedEvent | WarningEvent) -> None:
        self._emit(event)
        self._publish(event)

    def _publish(self, event: Event) -> None:
        """Send an event to the room's clients, unless the room has ended."""
        if self._room.isconnected():
            self._tasks.spawn(
                self._room.local_participant.publish_data(
                    event.model_dump_json(), topic=wire.MIND_TOPIC
                )
            )
