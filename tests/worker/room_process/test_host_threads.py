"""The threads of hosts: how a job begins, ends, and is reached meanwhile; hosts are stand-ins."""

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.commands import TAKEN, Answer, Command
from protocol.heartbeat import Outcome
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.room.job import RoomJob
from worker.room_process import host_threads
from worker.room_process.host_threads import NOT_HERE, HostThreads

CHEF = Persona(name="chef", label="Chef")
SPEC = RoomSpec(room="kitchen", generation=2, personas=persona_specs([CHEF]))
JOB = RoomJob("AJ_1", "ws://livekit.invalid", "token", SPEC, stands_by=False)
SAY = Command(id="one", room="kitchen", generation=2, do="say", text="Dinner is ready.")
WITHIN_S = 10.0


class Host:
    """A host that runs until it is told to leave, and then ends as a test wants."""

    made: "queue.SimpleQueue[Host]"
    may_be_made: threading.Event
    ends: dict[str, Any]  # by job: an outcome, or an error to raise

    def __init__(self, job: RoomJob, context: Any) -> None:
        self.may_be_made.wait(WITHIN_S)
        self.job, self.context = job, context
        self.loop, self.thread = asyncio.get_running_loop(), threading.current_thread()
        self.reasons: list[str] = []
        self.followed: list[RoomSpec] = []
        self._left = asyncio.Event()
        self.made.put(self)

    def leave(self, reason: str) -> None:
        """Leave soon."""
        self.reasons.append(reason)
        self.loop.call_soon_threadsafe(self._left.set)

    def follow(self, spec: RoomSpec) -> None:
        """Keep a spec."""
        self.followed.append(spec)

    def execute(self, command: Command, until_s: float) -> Future[Answer]:
        """Take a command."""
        answer = Future[Answer]()
        answer.set_result(TAKEN)
        return answer

    async def run(self) -> Outcome:
        """Run until told to leave."""
        await self._left.wait()
        end = self.ends.get(self.job.id, "left")
        if isinstance(end, Exception):
            raise end
        return end


@dataclass
class Scene:
    """Threads of hosts, and how their jobs ended."""

    threads: HostThreads
    ended: "queue.SimpleQueue[tuple[str, Outcome]]"
    hosts: type[Host]

    def host(self) -> Host:
        """Return the host that is made next."""
        return self.hosts.made.get(timeout=WITHIN_S)

    def end(self) -> tuple[str, Outcome]:
        """Return the job that ends next, and how."""
        return self.ended.get(timeout=WITHIN_S)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return threads without a job."""
    monkeypatch.setattr(Host, "made", queue.SimpleQueue(), raising=False)
    monkeypatch.setattr(Host, "may_be_made", threading.Event(), raising=False)
    monkeypatch.setattr(Host, "ends", {}, raising=False)
    monkeypatch.setattr(host_threads, "Host", Host)
    monkeypatch.setattr(host_threads, "replace", lambda context, **_: context)
    Host.may_be_made.set()
    ended: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
    context: Any = SimpleNamespace(emit=lambda *_: None)
    threads = HostThreads(context, lambda job_id, outcome: ended.put((job_id, outcome)))
    return Scene(threads, ended, Host)


def test_each_host_has_a_thread_and_a_loop_of_its_own(scene: Scene) -> None:
    """Two rooms share neither thread nor event loop; each job ends as its host says."""
    for job_id in ("AJ_1", "AJ_2"):
        scene.threads.serve(replace(JOB, id=job_id))
    hosts = {host.job.id: host for host in (scene.host(), scene.host())}
    assert len({host.thread for host in hosts.values()} | {threading.current_thread()}) == 3
    assert len({host.loop for host in hosts.values()}) == 2
    scene.threads.leave("AJ_2", "drained")

    assert scene.end() == ("AJ_2", "left")
    assert (hosts["AJ_1"].reasons, hosts["AJ_2"].reasons) == ([], ["drained"])
    scene.threads.leave("AJ_1", "drained")
    assert scene.end() == ("AJ_1", "left")


def test_a_host_that_raises_counts_as_failed(scene: Scene) -> None:
    """A host that cannot disconnect has failed: its room gets another one; others go on."""
    scene.hosts.ends["AJ_1"] = TimeoutError("it cannot disconnect")
    for job_id in ("AJ_1", "AJ_2"):
        scene.threads.serve(replace(JOB, id=job_id))
        scene.host()
    scene.threads.leave("AJ_1", "drained")
    assert scene.end() == ("AJ_1", "failed")
    scene.threads.leave("AJ_2", "drained")

    assert scene.end() == ("AJ_2", "left")


def test_a_host_that_cannot_be_made_counts_as_failed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose host fails at once has ended, too."""

    def fail(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr(host_threads, "Host", fail)
    scene.threads.serve(JOB)

    assert scene.end() == ("AJ_1", "failed")


def test_a_host_without_a_thread_counts_as_failed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine allows no further thread, the job has ended: its room gets another host."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        scene.threads.serve(JOB)

    assert scene.end() == ("AJ_1", "failed")


def test_a_host_that_is_to_leave_before_it_is_made_leaves(scene: Scene) -> None:
    """A reason to leave that comes before the host is there reaches it as soon as it is."""
    scene.hosts.may_be_made.clear()
    scene.threads.serve(JOB)
    scene.threads.leave("AJ_1", "drained")
    scene.hosts.may_be_made.set()

    assert scene.host().reasons == ["drained"]
    assert scene.end() == ("AJ_1", "left")


def test_calls_reach_the_host_of_their_job(scene: Scene) -> None:
    """Specs and commands reach the host of their job while it runs."""
    scene.threads.serve(JOB)
    host = scene.host()
    deadline_s = time.monotonic() + WITHIN_S
    while scene.threads.execute("AJ_1", SAY, 10.0).result(WITHIN_S) == NOT_HERE:
        assert time.monotonic() < deadline_s
    scene.threads.follow("AJ_1", SPEC)
    assert host.followed == [SPEC]
    scene.threads.leave("AJ_1", "drained")
    scene.end()


def test_calls_for_a_job_that_does_not_run_are_refused_or_ignored(scene: Scene) -> None:
    """Before its host is made and after its end, a job takes no command and no spec."""
    scene.hosts.may_be_made.clear()
    scene.threads.serve(JOB)
    early = scene.threads.execute("AJ_1", SAY, 10.0)
    scene.threads.follow("AJ_1", SPEC)
    scene.hosts.may_be_made.set()
    host = scene.host()
    scene.threads.leave("AJ_1", "drained")
    scene.end()
    late = scene.threads.execute("AJ_1", SAY, 10.0)
    scene.threads.follow("AJ_1", SPEC)
    scene.threads.leave("AJ_1", "again")

    assert (early.result(0), late.result(0)) == (NOT_HERE, NOT_HERE)
    assert (host.followed, host.reasons) == ([], ["drained"])
