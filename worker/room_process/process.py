"""A process of rooms: hosts, personas, ears and voices, with the engine in the main process.

A process of its own, because threads of Python share one interpreter: a room costs it 1 to 2 ms of
each 80 (docs/benchmarks.md), and the engine needs its share. Ends when the main process does.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import structlog

from mind.thread import MindThread, start_minds
from protocol.commands import Answer
from protocol.config import tracing
from protocol.config.log import configure_logging
from protocol.config.proxies import lead_native_library
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.heartbeat import Outcome
from worker.backup.store import BackupStore
from worker.events import EventWriter
from worker.livekit_private.native_events import native_events
from worker.livekit_private.native_log import disable_native_log_capture
from worker.loops import call_on_loop
from worker.recording.recordings import Recordings, recordings_of
from worker.room.context import HostContext
from worker.room_process.asking import Asking
from worker.room_process.channel import Channel, take_each
from worker.room_process.figures import own_samples
from worker.room_process.host_threads import HostThreads
from worker.room_process.messages import (
    Answered,
    Begin,
    CallEnded,
    CannotStart,
    Changed,
    ClientLeft,
    EndClients,
    Execute,
    Executed,
    Figures,
    Follow,
    FrameOut,
    FromRooms,
    JobEnded,
    Leave,
    ListeningEnded,
    Serve,
    ServeClient,
    SlotLost,
    SlotsSettled,
    Started,
    Stop,
    TookOver,
    ToRooms,
    Words,
)
from worker.room_process.remote_engine import RemoteEngine
from worker.room_process.remote_recogniser import RemoteRecogniser
from worker.websocket.clients import Clients

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # blocked until there is a handler
FIGURES_EVERY_S = 1.0
FINISH_WITHIN_S = 2.0


def serve_rooms(
    settings: Settings,
    connection: "Connection[Any, Any]",
    inherited: list[int],
    environment: Mapping[str, str],
) -> None:
    """Host the rooms that the main process at the other end of a connection gives to this one.

    `inherited`: descriptors of a fork that are not its own. While it held them, the end of the main
    process would not be seen by others. `environment`: that of the main process when it began; it
    has changed its own since.
    """
    for number in STOP_SIGNALS:  # the main process drains, then says `Stop`
        signal.signal(number, _ignore)  # and not `SIG_IGN`, which tool servers would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    for descriptor in inherited:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    configure_logging(settings)
    disable_native_log_capture()
    native_events()  # before there are rooms: two threads must not make it at once
    tracing.start(settings.otel_exporter_otlp_endpoint, "worker")
    try:
        asyncio.run(_serve(settings, connection))
    finally:
        tracing.stop()


def _ignore(*_: object) -> None:
    """Do nothing with a signal."""


async def _serve(settings: Settings, connection: "Connection[Any, Any]") -> None:
    await _RoomProcess(settings, connection).run()


class _RoomProcess:
    """The parts of a process of rooms, from its start to `Stop`."""

    def __init__(self, settings: Settings, connection: "Connection[Any, Any]") -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._channel = Channel[FromRooms, ToRooms](connection, self._take_all, _exit)
        self._asking = Asking(self._channel.post)
        self._events = EventWriter(settings.redis_url)
        self._backups = BackupStore(settings.redis_url) if settings.remember else None
        self._recordings: Recordings | None = None
        self._minds: MindThread | None = None
        self._engine: RemoteEngine | None = None  # this and what follows: from `Begin` on
        self._recogniser: RemoteRecogniser | None = None
        self._hosts: HostThreads | None = None
        self._clients: Clients | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until `Stop` comes, write what waits."""
        try:
            self._recordings = recordings_of(self._settings)
            self._minds = await asyncio.to_thread(start_minds, self._settings)
        except InvalidInput as error:
            self._channel.start()
            self._channel.post(CannotStart(str(error)))
            return self._channel.finish(FINISH_WITHIN_S)
        lead_native_library(self._settings.livekit_url)  # minds have read the variables
        gc.freeze()  # of what stays for good; without a collection, which would copy shared memory
        writing = [asyncio.create_task(self._events.run(), name="events")]
        if self._backups is not None:
            writing.append(asyncio.create_task(self._backups.run(), name="backups"))
        reporting = asyncio.create_task(self._report_figures(), name="figures")
        self._channel.start()
        self._channel.post(Started(self._minds is not None))
        await self._stopping.wait()
        reporting.cancel()
        await self._end(writing)

    async def _end(self, writing: list[asyncio.Task[None]]) -> None:
        """Write what waits, and end the connection."""
        parts = [each for each in (self._minds, self._recordings) if each is not None]
        await asyncio.gather(*(asyncio.to_thread(each.close) for each in parts))
        self._events.stop()
        if self._backups is not None:
            self._backups.stop()
        await asyncio.gather(*writing)
        self._channel.post(Figures(own_samples()))
        self._channel.finish(FINISH_WITHIN_S)

    async def _report_figures(self) -> None:
        while True:
            await asyncio.sleep(FIGURES_EVERY_S)
            self._channel.post(Figures(own_samples()))

    def _take_all(self, messages: list[ToRooms]) -> None:
        """Take what came together. The channel's thread, as all that follows."""
        take_each(self._take, messages)
        if self._engine is not None:
            self._engine.send()

    def _take(self, message: ToRooms) -> None:
        match message:
            case Begin():
                self._begin(message)
            case Stop():
                call_on_loop(self._loop, self._stopping.set)
            case Answered():
                self._asking.take(message)
            case _:
                self._pass_on(message)

    def _pass_on(self, message: ToRooms) -> None:
        """Pass a message on to the part that it is for: all are there once the model is."""
        if self._engine is None or self._hosts is None or self._clients is None:
            return
        match message:
            case FrameOut():
                self._engine.take(message)
            case SlotLost():
                self._engine.take_lost(message)
            case CallEnded():
                self._engine.take_end(message)
            case Words() if self._recogniser is not None:
                self._recogniser.take(message)
            case ListeningEnded() if self._recogniser is not None:
                self._recogniser.take_end(message)
            case Serve(job):
                self._hosts.serve(job)
            case Leave(job_id, reason):
                self._hosts.leave(job_id, reason)
            case Follow(job_id, spec):
                self._hosts.follow(job_id, spec)
            case Execute():
                self._execute(message, self._hosts)
            case ServeClient():
                call_on_loop(self._loop, self._clients.serve, *message)
            case EndClients():
                call_on_loop(self._loop, self._clients.end_all)
            case _:
                pass

    def _begin(self, begin: Begin) -> None:
        post = self._channel.post
        self._engine = RemoteEngine(begin.facts, post, self._asking)
        self._recogniser = RemoteRecogniser(post, self._asking) if begin.hears else None
        context = HostContext(
            self._settings,
            self._engine,
            self._recogniser,
            _Reports(self._channel),
            self._events.emit,
            self._recordings,
            self._backups,
            self._minds,
            self._events.read,
        )
        self._hosts = HostThreads(context, self._on_ended)
        self._clients = Clients(
            self._settings,
            self._engine,
            lambda client: post(ClientLeft(client)),
        )

    def _on_ended(self, job_id: str, outcome: Outcome) -> None:
        self._channel.post(JobEnded(job_id, outcome))

    def _execute(self, execute: Execute, hosts: HostThreads) -> None:
        answer = hosts.execute(execute.job_id, execute.command, execute.until_s)
        answer.add_done_callback(partial(self._on_executed, execute))

    def _on_executed(self, execute: Execute, answer: Future[Answer]) -> None:
        """Pass an answer on; a command that failed has none. The host's thread."""
        if answer.exception() is None:
            self._channel.post(Executed(execute.job_id, execute.call, answer.result()))


class _Reports:
    """Posts what hosts tell of their jobs, as `worker.room.job.JobReports`."""

    def __init__(self, channel: Channel[FromRooms, ToRooms]) -> None:
        self._post = channel.post

    def needs_no_more_slots(self, job_id: str) -> None:
        self._post(SlotsSettled(job_id))

    def took_over(self, job_id: str) -> None:
        self._post(TookOver(job_id))

    def changed(self) -> None:
        self._post(Changed())


def _exit(why: str) -> None:
    """End this process at once: without the engine its rooms are silent, and another host comes."""
    log.warning("rooms_end", reason=f"the main process is gone: {why}")
    os._exit(0)
