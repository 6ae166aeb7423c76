"""Jobs that are served elsewhere, as a real LiveKit and livekit-agents' worker know them."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit import api
from livekit.agents import JobRequest
from livekit.agents.job import RunningJobInfo
from livekit.protocol.agent import JobStatus, WorkerMessage

from harness.person import WITHIN_S, eventually
from harness.servers import LiveKit
from tests.conftest import SettingsFor
from worker.livekit_private.registration import Registration


@dataclass
class Served:
    """A job that is served until a test ends it, or until it is told to leave."""

    info: RunningJobInfo
    ended: Future[str] = field(default_factory=Future[str])
    reasons: list[str] = field(default_factory=list[str])

    def leave(self, reason: str) -> None:
        """Leave at once."""
        self.reasons.append(reason)
        self.ended.set_result("left")


class Telling(Registration):
    """A registration that keeps what it tells LiveKit of jobs."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.told: list[tuple[str, JobStatus.ValueType]] = []

    async def _queue_msg(self, msg: WorkerMessage) -> None:
        await super()._queue_msg(msg)
        if msg.HasField("update_job"):
            self.told.append((msg.update_job.job_id, msg.update_job.status))


class Worker:
    """A registration that accepts every job."""

    def __init__(self, livekit: LiveKit, settings_for: SettingsFor) -> None:
        self.name = f"test-{secrets.token_hex(4)}"
        self.served: list[Served] = []
        self.registered = False
        settings = settings_for(livekit=livekit)
        self.server = Telling(settings, self.name, lambda _: None, self._accept, self._serve)
        self.server.on("worker_registered", lambda *_: self._set_registered())

    def _set_registered(self) -> None:
        self.registered = True

    async def _accept(self, job: JobRequest) -> None:
        await job.accept(identity="chef")

    def _serve(self, info: RunningJobInfo) -> Served:
        self.served.append(Served(info))
        return self.served[-1]


@dataclass
class Dispatched:
    """A room with one dispatch, and what LiveKit says of its job."""

    room: str
    id: str
    lkapi: api.LiveKitAPI

    async def delete(self) -> None:
        """End the job, as LiveKit does."""
        await self.lkapi.agent_dispatch.delete_dispatch(self.id, self.room)


@asynccontextmanager
async def working(livekit: LiveKit, settings_for: SettingsFor) -> AsyncGenerator[Worker]:
    """Run a worker that is registered."""
    worker = Worker(livekit, settings_for)
    running = asyncio.create_task(worker.server.run())
    await eventually(lambda: worker.registered, "it is registered")
    try:
        yield worker
    finally:
        await worker.server.aclose()
        await running


@asynccontextmanager
async def dispatched(livekit: LiveKit, worker: Worker) -> AsyncGenerator[Dispatched]:
    """Dispatch the worker into a new room; delete the room at the end."""
    room = f"room-{secrets.token_hex(4)}"
    async with livekit.client() as lkapi:
        request = api.CreateAgentDispatchRequest(agent_name=worker.name, room=room)
        made = await lkapi.agent_dispatch.create_dispatch(request)
        before = len(worker.served)
        await eventually(lambda: len(worker.served) > before, "the job is served")
        try:
            yield Dispatched(room, made.id, lkapi)
        finally:
            with suppress(api.TwirpError):
                await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a registration does to the environment."""
    monkeypatch.setenv("NO_PROXY", "*")


async def test_livekit_knows_when_a_job_begins_and_ends(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """A job runs for LiveKit from its start until whoever serves it says that it has ended."""
    async with working(livekit, settings_for) as worker, dispatched(livekit, worker) as job:
        [served] = worker.served
        about, told = served.info.job, worker.server.told
        assert about.room.name == job.room
        await eventually(lambda: told == [(about.id, JobStatus.JS_RUNNING)], "it runs")
        assert len(worker.server.active_jobs) == 1
        served.ended.set_result("left")
        await eventually(lambda: told[1:] == [(about.id, JobStatus.JS_SUCCESS)], "it has ended")

        assert worker.server.active_jobs == []


async def test_a_drain_waits_for_the_jobs(livekit: LiveKit, settings_for: SettingsFor) -> None:
    """A worker that drains has done so once the last of its jobs has ended."""
    async with (
        working(livekit, settings_for) as worker,
        dispatched(livekit, worker),
        dispatched(livekit, worker),
    ):
        draining = asyncio.create_task(worker.server.drain(timeout=None))
        first, second = worker.served
        first.ended.set_result("left")
        await eventually(lambda: len(worker.server.active_jobs) == 1, "one job is left")
        assert not draining.done()
        second.ended.set_result("failed")
        await asyncio.wait_for(draining, WITHIN_S)


async def test_a_drain_that_is_given_up_ends_no_job(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """A worker that waits no longer tells its hosts to leave itself: their jobs go on."""
    async with working(livekit, settings_for) as worker, dispatched(livekit, worker):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.server.drain(timeout=None), 0.1)
        [served] = worker.served

        assert (served.reasons, served.ended.cancelled()) == ([], False)
        served.ended.set_result("left")


async def test_a_job_that_livekit_ends_makes_its_host_leave(
    livekit: LiveKit, settings_for: SettingsFor
) -> None:
    """Where LiveKit ends a job, its host is told to leave, with that reason."""
    async with working(livekit, settings_for) as worker, dispatched(livekit, worker) as job:
        await eventually(lambda: bool(worker.server.told), "LiveKit knows that it runs")
        await job.delete()
        await eventually(lambda: bool(worker.served[0].reasons), "it is told to leave")

        assert worker.served[0].reasons == ["LiveKit ended the job"]
        await eventually(lambda: worker.server.active_jobs == [], "it has ended")
