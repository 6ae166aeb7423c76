"""The worker: settings → model → engine → AgentServer → run. A table of contents.

The model loads before the worker registers with LiveKit; the health endpoint answers at once.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

import structlog
from livekit.agents import AgentServer, JobContext, JobRequest

from protocol import wire
from protocol.config.log import configure_logging
from protocol.config.production import refuse_unsafe
from protocol.config.proxies import keep_loopback_direct
from protocol.config.secret import reveal
from protocol.config.settings import Settings, load_settings
from protocol.errors import InvalidInput
from protocol.seal import Seal
from worker.admission import JobAdmission
from worker.context import WorkerContext, attributes_of, identity_of
from worker.engine.engine import Engine
from worker.engine.model import Model
from worker.events import EventWriter
from worker.health import Health
from worker.heartbeat import HeartbeatPublisher
from worker.hosts import Hosts
from worker.livekit_private.native_events import native_events
from worker.livekit_private.native_log import disable_native_log_capture
from worker.livekit_private.registration import Registration
from worker.room.commands import Commands
from worker.room.host import Host
from worker.status import WorkerStatus

log = structlog.get_logger(__name__)

LoadModel = Callable[[Settings, Callable[[str], None]], Model]

GOODBYE_S = 5  # for hosts to leave once the drain's grace is over


class Worker:
    """Everything that runs on the main loop."""

    def __init__(self, settings: Settings, load: LoadModel | None = None) -> None:
        self.settings = settings
        self._load_model = load or _load_model
        self.status = WorkerStatus(settings.model)
        self.hosts = Hosts()
        self.pulse = HeartbeatPublisher(settings, self.status, self.hosts)
        self.events = EventWriter(settings.redis_url)
        self.commands = Commands(settings.redis_url, self.status.worker_id, self.hosts)
        self.health = Health(self.pulse, settings.worker_host, settings.worker_port)
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until a signal comes, drain, stop."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(signum, self._stopping.set)
        await self.health.start()
        beating = asyncio.create_task(self.pulse.run(), name="pulse")
        telling = asyncio.create_task(self.events.run(), name="events")
        obeying = asyncio.create_task(self.commands.run(), name="commands")
        beating.add_done_callback(_die_of)  # without heartbeat all rooms here would be replaced
        try:
            context = self._open_context(await self._load())
            try:
                await self._serve(context)
            finally:
                context.engine.stop()
        except Exception as error:
            self.status.change("error", str(error) or type(error).__name__)
            raise
        finally:
            self.pulse.stop()
            self.commands.stop()
            await obeying
            self.events.stop()
            await asyncio.gather(beating, telling)
            await self.health.aclose()

    async def _load(self) -> Model:
        """Load the model beside the loop, telling how far it is."""
        self.status.change("loading_model")

        def progress(line: str) -> None:
            self._loop.call_soon_threadsafe(self.status.change, "loading_model", line)

        model = await asyncio.to_thread(self._load_model, self.settings, progress)
        self.status.model, self.status.model_note = model.name, model.note
        self.status.model_prompts, self.status.voices = model.prompts, model.voices
        self.status.prompt_tokens, self.status.tokenizer = model.prompt_tokens, model.tokenizer
        self.status.model_sampling = model.sampling
        self.status.lines = model.repertoire.by_voice if model.repertoire is not None else None
        if model.note:
            log.info("model_note", note=model.note)
        # What is there now stays. Kept out of the collector, a full collection looks at the calls'
        # own objects alone: it comes sooner, so that what they held goes, and stops no call.
        gc.collect()
        gc.freeze()
        return model

    def _open_context(self, model: Model) -> WorkerContext:
        engine = Engine(model, _die, self.settings.max_step_share)
        engine.start()
        admission = JobAdmission(lambda: engine.free, lambda: engine.too_slow)
        self.pulse.attach(engine, admission)

        def changed() -> None:
            self._loop.call_soon_threadsafe(self.pulse.now)

        return WorkerContext(
            self.settings, engine, admission, self.hosts, changed, self.events.emit
        )

    async def _serve(self, context: WorkerContext) -> None:
        server = make_server(context, self.pulse, self.status.worker_id, self._lost)
        server.on("worker_registered", lambda *_: self._registered())
        self._lost("LiveKit was not asked yet")
        serving = asyncio.create_task(server.run(), name="agent server")
        stopping = asyncio.create_task(self._stopping.wait(), name="stop signal")
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():  # LiveKit stayed away: end with the reason, to be started again
            error = serving.exception()
            await server.aclose()  # else its idle threads keep the process from ending
            raise ConnectionError(f"{self.status.reason} ({error})") from error
        context.admission.open = False
        self.status.change("draining", f"{len(self.hosts.all())} rooms")
        self.pulse.now()
        await self._drain(server)
        await server.aclose()

    async def _drain(self, server: AgentServer) -> None:
        """Take no new job, give the running ones their grace, then have them say goodbye."""
        try:
            await asyncio.wait_for(server.drain(timeout=None), self.settings.drain_grace_s)
        except TimeoutError:
            for hosting in self.hosts.all():
                hosting.leave("the worker stops")
            for _ in range(GOODBYE_S * 10):
                if not self.hosts.all():
                    break
                await asyncio.sleep(0.1)

    def _registered(self) -> None:
        self.status.change("ready")
        self.pulse.now()

    def _lost(self, reason: str) -> None:
        """LiveKit is away: until it is back, a dispatch to us would be lost."""
        if not self._stopping.is_set():
            self.status.change(
                "connecting", f"the model is loaded, not connected to LiveKit: {reason}"
            )
            self.pulse.now()


def make_server(
    context: WorkerContext,
    pulse: HeartbeatPublisher,
    worker_id: str,
    on_lost: Callable[[str], None],
) -> AgentServer:
    """The server of jobs, with what it does for each."""
    server = Registration(context.settings, on_lost)
    seal = Seal(context.settings)

    async def request(job: JobRequest) -> None:
        try:
            spec = seal.open(job.job.metadata, job.room.name)
        except InvalidInput as error:
            log.warning("job_refused", job=job.id, room=job.room.name, reason=str(error))
            return await job.reject(terminate=True)
        if await pulse.is_outdated(spec):
            log.info("job_outdated", job=job.id, room=spec.room, generation=spec.generation)
            return await job.reject(terminate=True)
        if not context.admission.reserve(job.id, len(spec.personas)):
            log.info("job_refused", job=job.id, room=spec.room, reason="not enough free slots")
            context.hosts.refuse(spec)
            pulse.now()
            return await job.reject(terminate=False)
        first = spec.personas[0]
        await job.accept(
            identity=identity_of(first),
            name=first.label,
            attributes=attributes_of(first, spec, context.engine.model.name),
        )

    async def serve_room(ctx: JobContext) -> None:
        spec = seal.open(ctx.job.metadata, ctx.job.room.name)
        with structlog.contextvars.bound_contextvars(room=spec.room, generation=spec.generation):
            await Host(ctx, spec, context).run()

    server.rtc_session(serve_room, agent_name=wire.agent_name(worker_id), on_request=request)
    return server


def _load_model(settings: Settings, progress: Callable[[str], None]) -> Model:
    """Imports torch here, on the loading thread: the health endpoint answers meanwhile."""
    if settings.hf_token is not None:  # the hub's library looks there
        os.environ["HF_TOKEN"] = reveal(settings, "hf_token", "download of the model")
    if settings.model == "echo":  # starts in half the time without torch
        from worker.engine.echo import echo_model

        return echo_model(settings.capacity)
    progress("importing torch")
    from worker.engine.load import load_model

    return load_model(settings, progress)


def _die_of(task: asyncio.Task[None]) -> None:
    """Without this task nothing is right, either."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task_failed", task=task.get_name(), exc_info=error)
        _die(error)


def _die(error: BaseException) -> None:
    """A failed step: nothing that this process could still do would be right."""
    sys.stderr.flush()
    os._exit(70)


def main() -> int:
    """Run the worker; the exit code says how it ended."""
    try:
        keep_loopback_direct()
        settings = load_settings()
        configure_logging(settings)
        refuse_unsafe(settings, serves_people=False)
        disable_native_log_capture()
        native_events()
        asyncio.run(_main(settings))
    except (InvalidInput, ConnectionError, OSError) as error:
        sys.stderr.write(f"worker: {error}\n")
        return 1
    return 0


async def _main(settings: Settings) -> None:
    await Worker(settings).run()


if __name__ == "__main__":
    sys.exit(main())
