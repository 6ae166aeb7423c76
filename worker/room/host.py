"""One job: hosts one room with all its personas. Runs on the job's own thread and event loop.

Ears and first persona share the job's connection; each further persona has one that only publishes.
The host leaves by itself: when the last person has been gone for a while, when a newer generation
was dispatched, when the worker drains, when the room ends.
"""

import asyncio
import contextlib
import time
from concurrent.futures import Future
from functools import partial
from typing import Literal

import structlog
from livekit import api, rtc
from livekit.agents import AutoSubscribe, JobContext

from protocol.commands import Answer, Command
from protocol.events import PeopleEvent
from protocol.heartbeat import Outcome
from protocol.room_spec import RoomSpec
from worker.context import WorkerContext
from worker.grid import next_tick
from worker.hosts import Hosting
from worker.room.background_tasks import Background
from worker.room.chat import Chat
from worker.room.personas import RoomPersonas
from worker.sound.audience import is_person
from worker.sound.ears import Ears
from worker.sound.speech import Speech

log = structlog.get_logger(__name__)

REMOVE_WITHIN_S = 3.0
FAILED = "Something went wrong on this side and the call has to end. Please start it again."


class Host:
    """Serves one room until there is a reason to leave."""

    def __init__(self, ctx: JobContext, spec: RoomSpec, context: WorkerContext) -> None:
        self._ctx = ctx
        self._spec = spec
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[str] = self._loop.create_future()
        self._empty_timer: asyncio.TimerHandle | None = None
        self._cast: RoomPersonas | None = None
        self._chat: Chat | None = None
        self._person_speaks = False
        self._tasks = Background("host", spec.room)
        self._hosting = Hosting(
            spec.room,
            spec.generation,
            self.leave,
            self.follow,
            self.obey,
            lambda: self._spec,
        )

    def leave(self, reason: str) -> None:
        """Ask the host to go. Any thread."""
        with contextlib.suppress(RuntimeError):  # it has gone: its loop is closed
            self._loop.call_soon_threadsafe(self._leave, reason)

    def follow(self, spec: RoomSpec) -> None:
        """Make the room equal to this promise. Any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._follow, spec)

    def obey(self, command: Command) -> Future[Answer]:
        """Do a command and give its answer; cancelled before, it is not done. Any thread."""
        answer: Future[Answer] = Future()
        try:
            self._loop.call_soon_threadsafe(self._obey, command, answer)
        except RuntimeError:  # the host has gone: its loop is closed
            answer.set_result(Answer(refusal="not_live", detail="The session's host has left."))
        return answer

    async def run(self) -> None:
        """Join, serve, leave. Errors end this room alone, after it was told."""
        context, room = self._context, self._ctx.room
        outcome: Outcome = "left"
        context.hosts.add(self._hosting)
        context.changed()
        try:
            await self._ctx.connect(  # a connection for each direction: docs/decisions.md
                auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE, single_peer_connection=False
            )
            self._chat = Chat(room, self._read, self._remove)
            await self._serve(room)
        except Exception:
            log.exception("host_failed")
            outcome = "failed"
            if self._chat is not None:
                await self._chat.say(FAILED)
        finally:
            context.admission.claim(self._ctx.job.id)
            await self._goodbye(room)
            context.hosts.remove(self._hosting, outcome)
            context.changed()

    async def _serve(self, room: rtc.Room) -> None:
        room.on("participant_connected", lambda who: self._watch_people(who, "joined"))
        room.on("participant_disconnected", lambda who: self._watch_people(who, "left"))
        room.on("disconnected", lambda _: self._leave("the room ended"))
        ears = Ears(room)
        speech = Speech(self._person_started, self._person_ended)
        took = partial(self._context.admission.took, self._ctx.job.id)
        cast = RoomPersonas(room, self._spec, self._context, took)
        ticking = asyncio.create_task(self._tick(ears, speech, cast), name="tick")
        try:
            await cast.follow(self._spec)
            self._context.admission.claim(self._ctx.job.id)
            self._context.changed()
            self._cast = cast
            self._watch_people()
            log.info("host_live", personas=len(cast.personas))
            await asyncio.wait([self._leaving, ticking], return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()
            log.info("host_leaves", reason=self._leaving.result())
        finally:
            self._cast = None
            await cast.leave()
            self._context.changed()
            ticking.cancel()
            await ears.aclose()
            await speech.aclose()

    async def _tick(self, ears: Ears, speech: Speech, cast: RoomPersonas) -> None:
        """Every 80 ms, on the worker's grid."""
        while True:
            now_s = self._loop.time()
            await asyncio.sleep(next_tick(now_s) - now_s)
            people = ears.take()
            speech.push(people)
            cast.tick(people, self._person_speaks)

    def _follow(self, spec: RoomSpec) -> None:
        if self._cast is not None and (spec != self._spec or self._cast.is_short()):
            self._spec = spec
            self._tasks.spawn(self._cast.follow(spec))

    def _obey(self, command: Command, answer: Future[Answer]) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        if self._cast is None:
            starting = Answer(refusal="starting", detail="The personas are on their way.")
            return answer.set_result(starting)
        try:
            answer.set_result(self._cast.obey(command))
        except Exception as error:  # the caller is told, and the log has its traceback
            answer.set_exception(error)
            raise

    def _person_started(self) -> None:
        self._person_speaks = True
        for persona in self._cast.personas if self._cast else []:
            persona.person_started()

    def _person_ended(self, at_s: float) -> None:
        self._person_speaks = False
        for persona in self._cast.personas if self._cast else []:
            persona.person_ended(at_s)

    def _watch_people(
        self,
        who: rtc.RemoteParticipant | None = None,
        change: Literal["joined", "left"] = "joined",
    ) -> None:
        """Start the clock when nobody is left, stop it when somebody comes."""
        people = [p for p in self._ctx.room.remote_participants.values() if is_person(p)]
        if who is not None and is_person(who):
            event = PeopleEvent(
                at_s=time.time(), identity=who.identity, change=change, people=len(people)
            )
            self._context.emit(self._spec.room, event)
        if people and self._empty_timer is not None:
            self._empty_timer.cancel()
            self._empty_timer = None
        elif not people and self._empty_timer is None:
            grace_s = self._context.settings.empty_room_grace_s
            self._empty_timer = self._loop.call_later(grace_s, self._leave, "nobody is here")

    def _leave(self, reason: str) -> None:
        if not self._leaving.done():
            self._leaving.set_result(reason)

    def _read(self, line: str) -> None:
        """A typed line: who is named in it comes first; nobody can read the rest yet."""
        if self._cast is not None:
            self._cast.address(line)

    async def _remove(self, identity: str) -> None:
        """Have LiveKit remove a participant."""
        who = api.RoomParticipantIdentity(room=self._spec.room, identity=identity)
        async with asyncio.timeout(REMOVE_WITHIN_S):
            await self._ctx.api.room.remove_participant(who)

    async def _goodbye(self, room: rtc.Room) -> None:
        """Stop what runs beside, then disconnect."""
        if self._empty_timer is not None:
            self._empty_timer.cancel()
        self._tasks.cancel()
        if self._chat is not None:
            await self._chat.aclose()
        if room.isconnected():
            await room.disconnect()
        self._ctx.shutdown(reason="host left")
