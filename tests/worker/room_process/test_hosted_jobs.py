"""What the main process knows of the jobs that a process of rooms serves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.commands import TAKEN, Command
from protocol.heartbeat import RoomOutcome
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosts
from worker.room.job import RoomJob
from worker.room_process.hosted_jobs import GONE, HostedJob, HostedJobs
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

PERSONAS = persona_specs(Persona(name=name, label=name.title()) for name in ("chef", "teacher"))
SPEC = RoomSpec(room="kitchen", generation=2, session="one", personas=PERSONAS)
JOB = RoomJob("AJ_1", "ws://livekit.invalid", "token", SPEC, stands_by=False)
SAY = Command(id="one", room="kitchen", generation=2, do="say", text="Dinner is ready.")
LOST = RoomOutcome(generation=2, outcome="left", lost=True)
SLOTS = 4


class Main:
    """The parts of a main process that know its jobs, and what it posts."""

    def __init__(self) -> None:
        self.taken = 0  # slots that the engine counts
        self.posted: list[ToRooms] = []
        self.changes = 0
        self.admission = JobAdmission(lambda: SLOTS - self.taken)
        self.hosts = Hosts()
        self.jobs = HostedJobs(self.admission, self.hosts, self._changed, self.posted.append)

    def serve(self, job: RoomJob = JOB) -> HostedJob:
        """Have a job served for which slots were kept."""
        assert self.admission.reserve(job.id, len(job.spec.personas))
        return self.jobs.serve(job)

    def outcome(self, room: str = "kitchen") -> str | None:
        """Return what the heartbeat says of a room."""
        found = self.hosts.outcomes().get(room)
        return None if found is None else found.outcome

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def main() -> Main:
    """Return a main process without jobs."""
    return Main()


def test_a_job_is_hosted_from_its_beginning_to_its_end(main: Main) -> None:
    """A job counts as hosted until its host has ended, and then as that host says."""
    hosted = main.serve()
    assert main.posted == [Serve(JOB)]
    assert (main.outcome(), main.jobs.personas) == ("hosted", 2)
    assert not hosted.ended.done()
    before = main.changes
    main.jobs.take(JobEnded(JOB.id, "left"))

    assert hosted.ended.result(0) == "left"
    assert main.hosts.outcomes() == {"kitchen": RoomOutcome(generation=2, outcome="left")}
    assert (main.hosts.all(), main.jobs.personas) == ([], 0)
    assert main.changes > before


def test_slots_are_kept_until_the_personas_have_them(main: Main) -> None:
    """Of a job's slots one less is kept with each that is taken, and none once all are settled."""
    main.serve()
    assert main.admission.free() == SLOTS - 2
    main.taken = 1
    main.admission.took(JOB.id)  # as `ServedSlots` does
    assert main.admission.free() == SLOTS - 2
    before = main.changes
    main.jobs.take(SlotsSettled(JOB.id))

    assert main.admission.free() == SLOTS - 1
    assert main.changes > before


def test_slots_of_a_job_that_ended_are_free(main: Main) -> None:
    """A host that ends before its personas have slots gives back those that were kept."""
    main.serve()
    main.jobs.take(JobEnded(JOB.id, "failed"))

    assert main.admission.free() == SLOTS


def test_a_host_stands_by_until_it_says_that_it_took_over(main: Main) -> None:
    """A host that stands by counts as such, and as hosting once it has taken over."""
    main.serve(replace(JOB, stands_by=True))
    assert main.outcome() == "standby"
    main.jobs.take(TookOver(JOB.id))

    assert main.outcome() == "hosted"


def test_a_change_is_told(main: Main) -> None:
    """A heartbeat is due where a host says that something has changed."""
    before = main.changes
    main.jobs.take(Changed())

    assert main.changes == before + 1


@pytest.mark.parametrize(
    "message",
    [
        JobEnded("AJ_2", "failed"),
        SlotsSettled("AJ_2"),
        TookOver("AJ_2"),
        Executed("AJ_2", 1, TAKEN),
        Executed("AJ_1", 77, TAKEN),
    ],
)
def test_messages_of_unknown_jobs_are_ignored(main: Main, message: Any) -> None:
    """What is told of a job or a call that is not known changes nothing."""
    main.admission.reserve("AJ_2", 1)
    main.serve(replace(JOB, stands_by=True))
    main.jobs.take(message)

    assert main.outcome() == "standby"
    assert main.admission.free() == SLOTS - 3


def test_a_command_is_answered_by_its_host(main: Main) -> None:
    """Each command goes to its host with its deadline, and gets that host's answer."""
    main.serve()
    [hosting] = main.hosts.all()
    first, second = (hosting.execute(SAY, until_s) for until_s in (10.0, 20.0))
    asked = [each for each in main.posted if isinstance(each, Execute)]
    assert [(each.job_id, each.command, each.until_s) for each in asked] == [
        (JOB.id, SAY, 10.0),
        (JOB.id, SAY, 20.0),
    ]
    main.jobs.take(Executed(JOB.id, asked[1].call, TAKEN))

    assert second.result(0) == TAKEN
    assert not first.done()


def test_an_answer_that_nobody_waits_for_is_ignored(main: Main) -> None:
    """An answer may come after its asker has given up."""
    main.serve()
    [hosting] = main.hosts.all()
    answer = hosting.execute(SAY, 10.0)
    answer.cancel()
    [asked] = [each for each in main.posted if isinstance(each, Execute)]
    main.jobs.take(Executed(JOB.id, asked.call, TAKEN))
    main.jobs.take(JobEnded(JOB.id, "left"))

    assert answer.cancelled()


@pytest.mark.parametrize("ends", [lambda main: main.jobs.close(), lambda main: main.jobs.take(
    JobEnded(JOB.id, "left"))])  # fmt: skip
def test_commands_of_a_host_that_ended_are_answered(
    main: Main, ends: Callable[[Main], None]
) -> None:
    """Who waits for an answer when the host ends learns it at once, as who asks later."""
    main.serve()
    [hosting] = main.hosts.all()
    waiting = hosting.execute(SAY, 10.0)
    ends(main)

    assert waiting.result(0) == GONE
    assert hosting.execute(SAY, 10.0).result(0) == GONE


def test_the_end_of_the_process_ends_every_job(main: Main) -> None:
    """Where a process ends, its rooms are lost: no failures, of which three close a worker."""
    other = replace(JOB, id="AJ_2", spec=SPEC.model_copy(update={"room": "garden"}))
    hosted = [main.serve(), main.serve(other)]
    main.jobs.close()

    assert [each.ended.done() for each in hosted] == [True, True]
    assert main.hosts.outcomes() == {"kitchen": LOST, "garden": LOST}
    assert (main.admission.free(), main.jobs.personas, main.hosts.all()) == (SLOTS, 0, [])


def test_a_job_that_comes_after_the_end_is_lost(main: Main) -> None:
    """A job that a process gets while it ends is over at once, as those that it had."""
    main.jobs.close()
    hosted = main.serve()

    assert hosted.ended.done()
    assert (main.hosts.outcomes(), main.admission.free()) == ({"kitchen": LOST}, SLOTS)


def test_leave_and_spec_go_to_the_host(main: Main) -> None:
    """The host is told to leave with the reason, and gets its room's spec, which is known then."""
    main.serve()
    [hosting] = main.hosts.all()
    assert hosting.spec() == SPEC
    muted = SPEC.model_copy(update={"personas": PERSONAS[:1]})
    hosting.follow(muted)
    hosting.leave("drained")

    assert main.posted[1:] == [Follow(JOB.id, muted), Leave(JOB.id, "drained")]
    assert hosting.spec() == muted


@pytest.mark.parametrize(("dispatched", "is_own"), [(2, True), (3, False)])
def test_a_host_that_took_over_follows_its_rooms_spec_as_moved(
    main: Main, dispatched: int, is_own: bool
) -> None:
    """Until the token service sees that a room has moved, its new host reads the spec as moved."""
    main.serve()
    [hosting] = main.hosts.all()
    moving = SPEC.model_copy(
        update={"generation": 1, "standby": "worker-2", "dispatched": dispatched}
    )
    hosting.follow(moving)

    followed = moving.moved() if is_own else moving
    assert hosting.spec() == followed
    assert main.posted[-1] == Follow(JOB.id, followed)
