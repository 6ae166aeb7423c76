"""Run a worker: load the model, start the engine, register with LiveKit, have rooms hosted, drain.

The health endpoint answers from the start; LiveKit knows the worker once the model is loaded.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from livekit.agents import AgentServer

from protocol.config import tracing
from protocol.config.command_line import refuse_arguments
from protocol.config.log import configure_logging
from protocol.config.production import refuse_unsafe
from protocol.config.proxies import keep_loopback_direct
from protocol.config.secret import reveal
from protocol.config.settings import Settings, load_settings, log_misspelt
from protocol.errors import InvalidInput
from protocol.heartbeat import SpeechRecognition
from protocol.websocket_ticket import CHAT_PATH
from worker.background_tasks import BackgroundTasks
from worker.context import WorkerContext
from worker.engine.engine import Engine
from worker.engine.files.recognisers import kyutais
from worker.engine.model import Model
from worker.fleet.admission import JobAdmission
from worker.fleet.commands import CommandReceiver
from worker.fleet.health import HealthEndpoint
from worker.fleet.heartbeat import HeartbeatPublisher
from worker.fleet.hosts import Hosts
from worker.fleet.status import PublishedStatus
from worker.hearing.choice import start_recogniser
from worker.jobs import Jobs
from worker.loops import call_on_loop, on_daemon
from worker.recording.recordings import recordings_of
from worker.room_process.room_processes import RoomProcesses
from worker.websocket.own_url import own_url
from worker.websocket.server import WebSocketServer

log = structlog.get_logger(__name__)

LoadModel = Callable[[Settings, Callable[[str], None]], Model]

MINDS_DO_NOT_HEAR = "Minds answer typed lines alone, as the words of people are not written."
GOODBYE_S = 5.0  # for hosts to leave after `DRAIN_GRACE_S`
FAILED_EXIT = 70  # EX_SOFTWARE
DESCRIPTORS = 16_384  # a room takes some twenty
LOADING = "loading"  # the thread that loads the model


class Worker:
    """The parts of a worker, from its start to the end of its drain."""

    def __init__(
        self, settings: Settings, rooms: RoomProcesses, load: LoadModel | None = None
    ) -> None:
        self.settings, self.rooms = settings, rooms
        self._load_model = load or _load_model
        self.status = PublishedStatus(settings.model)
        self.hosts = Hosts()
        self.publisher = HeartbeatPublisher(settings, self.status, self.hosts)
        self.commands = CommandReceiver(settings.redis_url, self.status.worker_id, self.hosts)
        self.recordings = recordings_of(settings)  # those that are left behind; hosts make theirs
        self.websockets = WebSocketServer(settings, self.status.worker_id, rooms)
        self.status.update(chat_url=own_url(settings) + CHAT_PATH)
        self.health = HealthEndpoint(
            self.publisher,
            settings.worker_host,
            settings.worker_port,
            rooms.figures,
            self.websockets.routes,
        )
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._tasks = BackgroundTasks("worker", self.status.worker_id)
        self._has_minds = False

    async def run(self) -> None:
        """Start, serve until a signal comes, drain, stop."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(signum, self._stopping.set)
        await self.health.start()
        heartbeats = asyncio.create_task(self.publisher.run(), name="heartbeats")
        commands = asyncio.create_task(self.commands.run(), name="commands")
        heartbeats.add_done_callback(_exit_if_failed)  # else all rooms here would be replaced
        sweeps = None
        if self.recordings is not None:
            sweeps = asyncio.create_task(self.recordings.run(), name="recordings")
        engine: Engine | None = None
        try:
            if (context := await self._started()) is not None:
                engine = context.engine
                await self._serve(context)
        except Exception as error:
            self.status.change("error", str(error) or type(error).__name__)
            raise
        finally:
            await self.rooms.stop()
            if engine is not None:
                engine.stop()
            if sweeps is not None and self.recordings is not None:
                sweeps.cancel()
                await asyncio.to_thread(self.recordings.close)
            self.publisher.stop()
            self.commands.stop()
            await commands
            await heartbeats
            await self.health.aclose()

    async def _started(self) -> WorkerContext | None:
        """Return the parts once the model is loaded; None where a signal to stop comes first."""
        start = asyncio.create_task(self._start(), name="start")
        if await self._ends_by_itself(start):
            return start.result()
        start.cancel()
        await asyncio.wait([start])
        return None

    async def _ends_by_itself(self, task: asyncio.Task[Any]) -> bool:
        """Wait for a task; return False where a signal to stop comes before its end."""
        stopping = asyncio.create_task(self._stopping.wait(), name="stop signal")
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return task.done()

    async def _start(self) -> WorkerContext:
        self._has_minds = await self.rooms.started()
        return self._make_context(await self._load())

    async def _load(self) -> Model:
        """Load the model on a thread, and show the progress in the worker's state."""
        self.status.change("loading_model")

        def on_progress(line: str) -> None:
            call_on_loop(self._loop, self.status.change, "loading_model", line)

        model = await on_daemon(LOADING, partial(self._load_model, self.settings, on_progress))
        self.status.describe(model)
        # The garbage collector need not look at what stays for good: full collections come sooner
        # and are short enough to interrupt no call.
        gc.collect()
        gc.freeze()
        return model

    def _make_context(self, model: Model) -> WorkerContext:
        engine = Engine(model, _exit, self.settings.max_step_share)
        engine.start()

        def serves() -> bool:
            return self.rooms.serve_now

        admission = JobAdmission(lambda: engine.free if serves() else 0, lambda: engine.too_slow)
        self.publisher.attach(engine, admission, serves)

        def changed() -> None:
            call_on_loop(self._loop, self.publisher.now)

        recogniser = start_recogniser(self.settings.stt, self._on_stt, model.recognition)
        context = WorkerContext(
            engine, recogniser, admission, self.hosts, changed, self._on_lost_rooms
        )
        self.websockets.attach(context)
        self.rooms.begin(context)
        return context

    def _on_lost_rooms(self) -> None:
        """Upload what a process of rooms has left of its recordings."""
        if self.recordings is not None:
            self._tasks.spawn(asyncio.to_thread(self.recordings.upload_left))

    def _on_stt(self, stt: SpeechRecognition) -> None:
        """Take whether people's words are written. Any thread."""
        if self._has_minds and stt.state in ("off", "failed"):
            log.info("minds_do_not_hear", reason=MINDS_DO_NOT_HEAR)
        call_on_loop(self._loop, self.status.change_stt, stt)
        call_on_loop(self._loop, self.publisher.now)

    async def _serve(self, context: WorkerContext) -> None:
        jobs = Jobs(
            self.settings,
            context.engine.facts.name,
            context.admission,
            self.hosts,
            self.publisher,
            self.rooms.serve,
        )
        server = jobs.make_server(self.status.worker_id, self._on_disconnected)
        server.on("worker_registered", lambda *_: self._on_registered())
        self._on_disconnected("not tried yet", is_fault=False)
        serving = asyncio.create_task(server.run(), name="agent server")
        if await self._ends_by_itself(serving):  # it gave up connecting to LiveKit
            error = serving.exception()
            await server.aclose()
            raise ConnectionError(f"{self.status.heartbeat.reason} ({error})") from error
        context.admission.open = False
        self.status.change("draining", f"{len(self.hosts.all())} rooms")
        self.publisher.now()
        grace_s = self.settings.drain_grace_s
        await asyncio.gather(self._drain(server), self.websockets.drain(grace_s))
        await server.aclose()

    async def _drain(self, server: AgentServer) -> None:
        """Take no new job, wait `DRAIN_GRACE_S` for the hosts, then tell those left to leave."""
        draining = asyncio.create_task(server.drain(timeout=None), name="drain")
        try:
            await asyncio.wait_for(asyncio.shield(draining), self.settings.drain_grace_s)
        except TimeoutError:
            for hosting in self.hosts.all():
                hosting.leave("the worker stops")
            await asyncio.wait([draining], timeout=GOODBYE_S)
            draining.cancel()  # it keeps the server from closing

    def _on_registered(self) -> None:
        self.status.change("ready")
        self.publisher.now()

    def _on_disconnected(self, reason: str, *, is_fault: bool = True) -> None:
        """Publish that LiveKit is away: a dispatch to this worker would be lost."""
        if not self._stopping.is_set():
            reason = f"the model is loaded, not connected to LiveKit: {reason}"
            self.status.change("connecting", reason, is_fault=is_fault)
            self.publisher.now()


def _load_model(settings: Settings, on_progress: Callable[[str], None]) -> Model:
    """Load the model that `MODEL` names. Imports torch only here, on the loading thread."""
    if settings.hf_token is not None:  # huggingface_hub reads it from the environment
        os.environ["HF_TOKEN"] = reveal(settings, "hf_token", "download of the model")
    has_recogniser = kyutais(settings.stt, on_gpu=False) is not None
    if settings.model == "echo" and not has_recogniser:  # no torch: it starts in half the time
        from worker.engine.echo import echo_model

        return echo_model(settings.capacity)
    on_progress("importing torch")
    from worker.engine.load import load_model

    return load_model(settings, on_progress)


def _exit_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task_failed", task=task.get_name(), exc_info=error)
        _exit(error)


def _exit(error: BaseException) -> None:
    """End the process at once: after a failed engine step its state cannot be trusted."""
    _exit_now(FAILED_EXIT)


def _exit_now(status: int) -> None:
    sys.stderr.flush()
    os._exit(status)


def allow_descriptors() -> None:
    """Raise the limit of descriptors to `DESCRIPTORS`, or as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(DESCRIPTORS, hard)), hard))


def main() -> int:
    refuse_arguments("python -m worker", "Host rooms on this machine's GPU or CPU.")
    rooms: RoomProcesses | None = None
    try:
        keep_loopback_direct()
        settings = load_settings()
        configure_logging(settings)
        log_misspelt()
        refuse_unsafe(settings, serves_people=False)
        allow_descriptors()
        rooms = RoomProcesses(settings)  # before this process has any thread
        tracing.start(settings.otel_exporter_otlp_endpoint, "worker")
        asyncio.run(_main(settings, rooms))
    except (InvalidInput, OSError) as error:
        sys.stderr.write(f"worker: {error}\n")
        return os.EX_CONFIG if isinstance(error, InvalidInput) else 1
    finally:
        if rooms is not None:
            rooms.close()
        tracing.stop()
    if any(each.name == LOADING for each in threading.enumerate()):
        _exit_now(0)  # a download, or native code, would hold up an exit, and cannot be interrupted
    return 0


async def _main(settings: Settings, rooms: RoomProcesses) -> None:
    await Worker(settings, rooms).run()
