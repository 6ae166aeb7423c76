"""The jobs that one process of rooms serves, as the main process knows them."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future

from protocol.commands import Answer, Command
from protocol.heartbeat import Outcome
from protocol.room_spec import RoomSpec
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosting, Hosts
from worker.room.job import RoomJob
from worker.room_process.messages import (
    Changed,
    Execute,
    Executed,
    Follow,
    JobEnded,
    Leave,
    Serve,
    SlotsSettled,
    TookOver,
    ToRooms,
)

JobMessage = JobEnded | SlotsSettled | TookOver | Changed | Executed
GONE = Answer(refusal="not_live", detail="The session's host has ended.")


class HostedJob:
    """One job: what the main process knows of its host, which runs elsewhere. Any thread."""

    def __init__(self, job: RoomJob, post: Callable[[ToRooms], None]) -> None:
        self.job, self._post = job, post
        self.ended = Future[Outcome]()
        self.stands_by = job.stands_by
        self._spec = job.spec
        self._calls = itertools.count(1)
        self._executing: dict[int, Future[Answer]] = {}
        spec = job.spec
        self.hosting = Hosting(
            spec.room,
            spec.generation,
            self.leave,
            self._follow,
            self._execute,
            lambda: self._spec,
            lambda: self.stands_by,
        )

    def leave(self, reason: str) -> None:
        """Have the host leave."""
        self._post(Leave(self.job.id, reason))

    def answered(self, executed: Executed) -> None:
        """Take the host's answer to a command."""
        answer = self._executing.pop(executed.call, None)
        if answer is not None and answer.set_running_or_notify_cancel():
            answer.set_result(executed.answer)

    def end(self, outcome: Outcome) -> None:
        """Take that the host has ended: nothing that was asked of it is answered any more."""
        self.ended.set_result(outcome)
        self._refuse_all()

    def _follow(self, spec: RoomSpec) -> None:
        if spec.standby and spec.dispatched == self.job.spec.generation:
            spec = spec.moved()  # the token service has yet to see that this host has taken over
        self._spec = spec
        self._post(Follow(self.job.id, spec))

    def _execute(self, command: Command, until_s: float) -> Future[Answer]:
        call, answer = next(self._calls), Future[Answer]()
        self._executing[call] = answer
        self._post(Execute(self.job.id, call, command, until_s))
        if self.ended.done():
            self._refuse_all()
        return answer

    def _refuse_all(self) -> None:
        for call in tuple(self._executing):
            self.answered(Executed(self.job.id, call, GONE))


class HostedJobs:
    """The jobs of one process. `serve` on the main loop, `take` on the channel's thread."""

    def __init__(
        self,
        admission: JobAdmission,
        hosts: Hosts,
        changed: Callable[[], None],
        post: Callable[[ToRooms], None],
    ) -> None:
        """`changed` is called where slots or rooms have changed."""
        self._admission, self._hosts = admission, hosts
        self._changed, self._post = changed, post
        self._jobs: dict[str, HostedJob] = {}
        self._lock = threading.Lock()
        self._has_ended = False

    @property
    def personas(self) -> int:
        """How many personas the hosted rooms have."""
        with self._lock:
            return sum(len(each.job.spec.personas) for each in self._jobs.values())

    def serve(self, job: RoomJob) -> HostedJob:
        """Have a room hosted from now on."""
        hosted = HostedJob(job, self._post)
        with self._lock:
            self._jobs[job.id] = hosted
            has_ended = self._has_ended
        self._hosts.add(hosted.hosting)
        self._post(Serve(job))
        self._changed()
        if has_ended:
            self._end(job.id, None)
        return hosted

    def take(self, message: JobMessage) -> None:
        """Take what a host tells; of one that has ended nothing is taken."""
        if isinstance(message, Changed):
            return self._changed()
        with self._lock:
            hosted = self._jobs.get(message.job_id)
        if hosted is None:
            return
        match message:
            case SlotsSettled(job_id):
                self._admission.release(job_id)
                self._changed()
            case TookOver():
                hosted.stands_by = False
                self._changed()
            case Executed():
                hosted.answered(message)
            case JobEnded(job_id, outcome):
                self._end(job_id, outcome)

    def close(self) -> None:
        """End every job: the process has ended.

        Its hosts are lost, as those of a lost worker. As failures they would close this worker.
        """
        with self._lock:
            self._has_ended = True
            jobs = tuple(self._jobs)
        for job_id in jobs:
            self._end(job_id, None)

    def _end(self, job_id: str, outcome: Outcome | None) -> None:
        with self._lock:
            hosted = self._jobs.pop(job_id, None)
        if hosted is not None:
            self._admission.release(job_id)
            self._hosts.remove(hosted.hosting, outcome)
            hosted.end(outcome or "failed")
            self._changed()
