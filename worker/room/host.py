"""One job: the host of one room. Runs on the job's own thread and event loop.

The job's connection hears the people and is the first persona's; each further persona has one that
only publishes. Every tick (`_tick`) passes the people's sound to the personas. The host leaves when
the room is empty for a while, when a newer generation was dispatched, when the worker drains, or
when the room ends.
"""

import asyncio
import time
from concurrent.futures import Future
from functools import partial
from typing import Literal

import structlog
from livekit import api, rtc

from protocol.commands import Answer, Command
from protocol.config.secret import reveal
from protocol.events import Event, PeopleEvent
from protocol.heartbeat import Outcome
from protocol.room_spec import RoomSpec
from worker.background_tasks import BackgroundTasks
from worker.backup.backup import RoomBackup
from worker.grid import wait_for_tick
from worker.livekit_private.connecting import connect
from worker.livekit_private.incoming import accepting_early_sound
from worker.loops import call_on_loop
from worker.room.chat import Chat, typed_line
from worker.room.context import HostContext
from worker.room.handover import MOVED, HandOver, OtherHosts, stand_by
from worker.room.host_commands import HostCommands
from worker.room.job import SESSION_ENDED, RoomJob
from worker.room.mind_connection import MindConnection
from worker.room.people import RoomPeople
from worker.room.people_words import LAST_WORDS_S, PeopleWords
from worker.room.personas import RoomPersonas
from worker.room.recorder import Recorder
from worker.sound.activity import PeopleSpeech
from worker.sound.audience import is_person
from worker.sound.early_speech import EarlySpeech
from worker.sound.ears import Ears

log = structlog.get_logger(__name__)

REMOVE_WITHIN_S = 3.0
# The room gets another host, which remembers, unless that fails again and again.
FAILED = "Something went wrong. I will be back in a moment; if not, please start the call again."


class Host:
    """Serves one room until there is a reason to leave."""

    def __init__(self, job: RoomJob, context: HostContext) -> None:
        self._job, self._room = job, rtc.Room()
        self._spec = spec = job.spec
        self._context = context
        model = context.engine.facts.name
        self._backup = RoomBackup(context.backups, spec, model, self._recall)
        self._loop = asyncio.get_running_loop()
        self._leave_reason: asyncio.Future[str] = self._loop.create_future()
        self._people = RoomPeople(self._room, context.settings.empty_room_grace_s, self._leave)
        self._personas: RoomPersonas | None = None  # once all have joined, or are to stand by
        self._mind: MindConnection | None = None
        self._recorder: Recorder | None = None
        self._chat: Chat | None = None
        self._early = EarlySpeech(self._room)
        self._tasks = BackgroundTasks("host", spec.room)
        self._commands = HostCommands(self._tasks)
        self._stands_by = job.stands_by
        self._others = OtherHosts(self._room, spec.generation)
        self._hand_over = HandOver(self._room, self._others, context.backups, self._leave)

    def leave(self, reason: str) -> None:
        """Leave the room soon. Any thread."""
        call_on_loop(self._loop, self._leave, reason)

    def follow(self, spec: RoomSpec) -> None:
        """Make the room equal to a spec. Any thread."""
        call_on_loop(self._loop, self._apply_spec, spec)

    def execute(self, command: Command, until_s: float) -> Future[Answer]:
        """Carry out a command, as `HostCommands.execute`. Any thread."""
        return self._commands.execute(command, until_s)

    async def run(self) -> Outcome:
        """Join, serve, leave. An error ends this host alone, after a message to the people."""
        try:
            await connect(self._room, self._job.url, self._job.token)
            self._chat = Chat(
                self._room, self._on_typed_line, self._remove_participant, self._early.streams
            )
            await self._serve()
        except Exception:
            log.exception("host_failed")
            if self._chat is not None and not self._stands_by:  # else the call goes on elsewhere
                await self._chat.send(FAILED)
            return "failed"
        finally:
            await self._disconnect()
        return "left"

    async def _serve(self) -> None:
        context = self._context
        self._watch_room()
        personas = self._make_personas()
        ears = Ears(self._room, early=None if self._stands_by else self._early, emit=self._emit)
        taking_over: asyncio.Task[None] | None = None
        if self._stands_by:
            self._personas = personas
            holder = await self._stand_by(personas, ears)
            if holder is None:
                return
            taking_over = asyncio.create_task(personas.take_over(holder), name="take over")
        words = self._make_words(personas)
        on_paused = partial(self._on_people_paused, words)
        speech = PeopleSpeech(self._on_people_started, self._on_people_ended, on_paused)
        ticking = asyncio.create_task(self._tick(ears, speech, personas, words), name="tick")
        try:
            if taking_over is not None:
                await taking_over
            await personas.apply_spec(self._spec)
            context.reports.needs_no_more_slots(self._job.id)
            self._personas = personas
            self._early.personas_listen()
            self._commands.begin(personas, self._mind)
            self._people.count()
            log.info("host_live", personas=len(personas.present))
            await asyncio.wait([self._leave_reason, ticking], return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()
            log.info("host_leaves", reason=self._leave_reason.result())
        finally:
            self._personas = None
            self._commands.end()
            await personas.leave()
            is_over = self._leaves_as(SESSION_ENDED) or self._people.is_empty
            if is_over:  # no other host goes on
                self._backup.drop()
            if self._mind is not None:
                self._mind.close()
            context.reports.changed()
            ticking.cancel()
            ears.close()
            await words.aclose(LAST_WORDS_S if is_over or self._leaves_as(MOVED) else 0.0)
            if self._recorder is not None:
                self._recorder.close()

    def _watch_room(self) -> None:
        self._room.on("participant_connected", lambda who: self._on_presence(who, "joined"))
        self._room.on("participant_disconnected", lambda who: self._on_presence(who, "left"))
        self._room.on("disconnected", lambda _: self._leave("the room ended"))
        for person in filter(is_person, list(self._room.remote_participants.values())):
            self._on_presence(person, "joined")  # LiveKit tells of those who come later

    def _make_personas(self) -> RoomPersonas:
        return RoomPersonas(
            self._room,
            self._spec,
            self._context,
            self._emit,
            self._job.id,
            self._backup,
            accepting_early_sound(self._early.streams),
            stands_by=self._stands_by,
        )

    def _make_words(self, personas: RoomPersonas) -> PeopleWords:
        """Make what writes people's words, with the mind and the recorder beside it."""
        context, spec, room = self._context, self._spec, self._room
        if context.minds is not None and self._chat is not None:
            self._mind = MindConnection(
                context.minds, spec, room, personas, self._emit, self._chat.cannot_read
            )
        if spec.record:
            self._recorder = Recorder(room, spec, context.recordings, self._emit)
        return PeopleWords(
            room,
            context.recogniser if spec.transcribe else None,
            self._emit,
            personas.take_words,
            self._mind.likely if self._mind is not None else str,
        )

    def _recall(self) -> None:
        if self._mind is not None:
            self._mind.recall(self._context.read_events)

    async def _stand_by(self, personas: RoomPersonas, ears: Ears) -> str | None:
        """Return who had the floor when the other host stopped; None where this one is to leave."""
        standing_by = stand_by(self._room, self._others, personas, ears, self._spec)
        standing = asyncio.create_task(standing_by, name="stand by")
        try:
            await asyncio.wait([standing, self._leave_reason], return_when=asyncio.FIRST_COMPLETED)
            if not self._leave_reason.done():
                holder = standing.result()
                self._stands_by = False
                self._context.reports.took_over(self._job.id)
                return holder
            log.info("host_leaves", reason=self._leave_reason.result())
            return None
        finally:
            if self._stands_by:
                await personas.leave()  # before the task ends: a join is never cancelled
                standing.cancel()
                ears.close()

    async def _tick(
        self, ears: Ears, speech: PeopleSpeech, personas: RoomPersonas, words: PeopleWords
    ) -> None:
        """Pass on one frame every 80 ms, on the worker's grid."""
        while True:
            await wait_for_tick()
            people = ears.next_frame()
            speech.push(people)
            personas.tick(people, speech.is_active)
            is_busy = speech.is_active or (self._mind is not None and self._mind.may_answer)
            if self._hand_over.is_due(self._spec, personas, is_busy=is_busy):
                self._tasks.spawn(self._hand_over.run(personas))
            words.tick(ears.spoken)
            if self._recorder is not None:
                self._recorder.tick(ears.spoken, personas.sounds)

    def _leaves_as(self, reason: str) -> bool:
        return self._leave_reason.done() and self._leave_reason.result() == reason

    def _leave(self, reason: str) -> None:
        if not self._leave_reason.done():
            self._leave_reason.set_result(reason)

    def _apply_spec(self, spec: RoomSpec) -> None:
        if self._personas is not None and (spec != self._spec or self._personas.needs_joins()):
            self._spec = spec
            self._tasks.spawn(self._personas.apply_spec(spec))
            for each in (self._mind, self._recorder):
                if each is not None:
                    each.apply_spec(spec)

    def _on_people_started(self) -> None:
        for persona in self._personas.present if self._personas else []:
            persona.people_started()

    def _on_people_paused(self, words: PeopleWords, is_paused: bool) -> None:
        if self._mind is not None and words.is_listening:
            self._mind.people_paused(is_paused)

    def _on_people_ended(self, at_s: float) -> None:
        for persona in self._personas.present if self._personas else []:
            persona.people_ended(at_s)

    def _on_presence(self, who: rtc.RemoteParticipant, change: Literal["joined", "left"]) -> None:
        if self._stands_by:
            return
        people = self._people.count()
        if is_person(who):
            if change == "left":
                self._backup.drop()
            self._emit(
                PeopleEvent(at_s=time.time(), identity=who.identity, change=change, people=people)
            )

    def _emit(self, event: Event) -> None:
        """Add an event to the room's stream, and tell it to the room's mind."""
        self._context.emit(self._spec.room, event)
        if self._mind is not None:
            self._mind.take(event)
        if self._recorder is not None:
            self._recorder.take(event)

    def _on_typed_line(self, identity: str, text: str) -> None:
        if self._stands_by:
            return
        if self._personas is not None:
            self._personas.take_words(text, typed=True)
        self._emit(typed_line(identity, text))
        if self._mind is None and self._chat is not None:
            self._chat.cannot_read(identity)

    async def _remove_participant(self, identity: str) -> None:
        participant = api.RoomParticipantIdentity(room=self._spec.room, identity=identity)
        settings = self._context.settings
        secret = reveal(settings, "livekit_api_secret", "removal of a participant")
        async with (
            asyncio.timeout(REMOVE_WITHIN_S),
            api.LiveKitAPI(settings.livekit_url, settings.livekit_api_key, secret) as livekit,
        ):
            await livekit.room.remove_participant(participant)

    async def _disconnect(self) -> None:
        """Stop timers and background tasks, then disconnect."""
        self._people.close()
        self._tasks.cancel()
        if self._chat is not None:
            self._chat.close()
        if self._room.isconnected():
            await self._room.disconnect()
