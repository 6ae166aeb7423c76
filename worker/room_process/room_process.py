"""One process of rooms, as the main process knows it."""

import asyncio
import itertools
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Pipe
from typing import Any, Literal

import structlog

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from worker.context import WorkerContext
from worker.loops import call_on_loop
from worker.room.job import RoomJob
from worker.room_process.channel import ENDED, Channel, take_each
from worker.room_process.figures import SummedFigures
from worker.room_process.hosted_jobs import HostedJob, HostedJobs
from worker.room_process.messages import (
    Alive,
    Begin,
    CannotStart,
    Changed,
    ClientLeft,
    Executed,
    Figures,
    FromRooms,
    JobEnded,
    Listen,
    SlotsSettled,
    Sound,
    Started,
    Stop,
    StopListening,
    TookOver,
    ToRooms,
)
from worker.room_process.passed_clients import PassedClients
from worker.room_process.process import STOP_SIGNALS, serve_rooms
from worker.room_process.served_listenings import ServedListenings
from worker.room_process.served_slots import ServedSlots
from worker.websocket.passed import PassedClient

log = structlog.get_logger(__name__)

StartMethod = Literal["fork", "spawn"]
START_WITHIN_S = 120.0  # on a crowded machine; usually 3 s, or none at all as a fork
STOP_WITHIN_S = 20.0  # longer than the last parts of recordings take
NUMBERS = itertools.count()  # of processes: a pid may be used again


class RoomProcess:
    """A process from its start to its end. Main loop, where nothing else is said."""

    def __init__(
        self,
        settings: Settings,
        figures: SummedFigures,
        method: StartMethod,
        environment: Mapping[str, str],
        siblings: Sequence["RoomProcess"] = (),
    ) -> None:
        """Start it. A fork inherits this end of its connection, and those of its `siblings`."""
        self._number = next(NUMBERS)
        self._connection, theirs = Pipe()
        inherited = [each.descriptor for each in (*siblings, self)] if method == "fork" else []
        context: Any = multiprocessing.get_context(method)
        self._process = context.Process(
            target=serve_rooms, args=(settings, theirs, inherited, environment), name="rooms"
        )
        if method == "spawn":
            resource_tracker.ensure_running()  # its start would let the signals in
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # which it inherits
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._figures = figures
        self._channel = Channel[ToRooms, FromRooms](
            self._connection, partial(take_each, self._take), self._on_end
        )
        self._started: asyncio.Future[bool] | None = None
        self._has_started = False
        self._ended = asyncio.Event()
        self._slots: ServedSlots | None = None
        self._listenings: ServedListenings | None = None
        self._jobs: HostedJobs | None = None
        self._clients = PassedClients(self._channel.post)
        self._may_end = False  # and its end is no trouble to tell of

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """The main process's end of the connection."""
        return self._connection.fileno()

    @property
    def load(self) -> int:
        """How many personas its rooms have, and how many WebSocket clients it serves."""
        return len(self._clients) + (0 if self._jobs is None else self._jobs.personas)

    @property
    def serves(self) -> bool:
        """Whether it has started, and has not ended."""
        return self._has_started and not self._ended.is_set()

    async def started(self) -> bool:
        """Return whether it has minds, once it has started. Raises `InvalidInput`, `EOFError`."""
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.create_future()
        try:
            self._channel.start()
        except RuntimeError as error:  # no further thread is allowed, which would see its end
            self.kill()
            self._free()
            self._ended.set()
            raise InvalidInput(f"a process of rooms cannot be started: {error}") from error
        try:
            has_minds = await asyncio.wait_for(self._started, START_WITHIN_S)
        except TimeoutError:
            await asyncio.to_thread(self.kill)
            why = f"a process of rooms did not start within {START_WITHIN_S:g} s"
            raise InvalidInput(why) from None  # an end that was made is told of nowhere else
        self._has_started = True
        return has_minds

    def begin(self, context: WorkerContext) -> None:
        """Take jobs from now on: they wait until it has started."""
        post = self._channel.post
        self._slots = ServedSlots(context.engine, context.admission, context.changed, post)
        if context.recogniser is not None:
            self._listenings = ServedListenings(context.recogniser, post)
        self._jobs = HostedJobs(context.admission, context.hosts, context.changed, post)
        post(Begin(context.engine.facts, context.recogniser is not None))

    def serve(self, job: RoomJob) -> HostedJob:
        """Have a room hosted."""
        assert self._jobs is not None
        return self._jobs.serve(job)

    def serve_client(self, client: PassedClient) -> None:
        """Have a WebSocket client served."""
        self._clients.serve(client)

    def end_clients(self) -> None:
        """Have all its WebSocket clients ended: the worker stops."""
        self._clients.end_all()

    async def ended(self) -> None:
        """Return once it has ended, and nothing of it is left."""
        await self._ended.wait()
        with suppress(ValueError):  # the kernel has not ended it yet
            self._process.close()  # its descriptors; else they stay until a collection

    async def stop(self) -> None:
        """Have it write what waits, and end it: no host is left."""
        if not self._has_started:  # it has nothing to write
            return self.kill()
        self._may_end = True
        self._channel.post(Stop())
        try:
            await asyncio.wait_for(self._ended.wait(), STOP_WITHIN_S)
        except TimeoutError:
            log.warning("rooms_did_not_stop", pid=self.pid)
            self.kill()

    def kill(self) -> None:
        """End it at once. Any thread."""
        if self._ended.is_set():
            return
        self._may_end = True
        self._process.kill()
        self._process.join()

    def _take(self, message: FromRooms) -> None:
        """Take a message. The channel's thread."""
        match message:
            case Started(has_minds):
                call_on_loop(self._loop, self._set_started, has_minds)
            case CannotStart(why):
                self._may_end = True
                call_on_loop(self._loop, self._set_started, InvalidInput(why))
            case Figures(samples):
                self._figures.report(self._number, samples)
            case Listen() | Sound() | StopListening():
                if self._listenings is not None:
                    self._listenings.take(message)
            case JobEnded() | SlotsSettled() | TookOver() | Changed() | Executed():
                if self._jobs is not None:
                    self._jobs.take(message)
            case ClientLeft(client):
                self._clients.left(client)
            case _:
                if self._slots is not None and not isinstance(message, Alive):
                    self._slots.take(message)

    def _set_started(self, outcome: bool | Exception) -> None:
        if self._started is None or self._started.done():
            return
        if isinstance(outcome, Exception):
            self._started.set_exception(outcome)
        else:
            self._started.set_result(outcome)

    def _on_end(self, why: str) -> None:
        """Free what the process used. The channel's thread."""
        if not self._may_end or why != ENDED:  # one that has hung writes nothing any more
            log.warning("rooms_ended", pid=self.pid, reason=why)
            self._process.kill()
        self._process.join(STOP_WITHIN_S)
        self._channel.finish(STOP_WITHIN_S)  # else it could write to what gets the descriptor next
        self._connection.close()
        self._free()
        call_on_loop(self._loop, self._set_started, EOFError(f"a process of rooms: {why}"))
        call_on_loop(self._loop, self._ended.set)

    def _free(self) -> None:
        """End what was asked of the process, and what it asked for."""
        for part in (self._slots, self._listenings, self._jobs, self._clients):
            if part is not None:
                part.close()
