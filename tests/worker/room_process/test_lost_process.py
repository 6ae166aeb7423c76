"""A process of rooms that ends: what its worker's heartbeat says of its rooms."""

from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.admission import JobAdmission
from worker.hosts import Hosts
from worker.room.job import RoomJob
from worker.room_process.hosted_jobs import HostedJobs

ROOMS = ("attic", "cellar", "kitchen")  # as many failures close a worker to all rooms


def test_rooms_of_a_lost_process_are_no_failures_of_the_worker() -> None:
    """Rooms whose process ended are hosted no more and did not fail, as those of a lost worker."""
    hosts = Hosts()
    jobs = HostedJobs(JobAdmission(lambda: len(ROOMS)), hosts, lambda: None, lambda _: None)
    personas = persona_specs([Persona(name="chef", label="Chef")])
    for room in ROOMS:
        spec = RoomSpec(room=room, generation=1, session="one", personas=personas)
        jobs.serve(RoomJob(room, "ws://livekit.invalid", "token", spec, stands_by=False))
    assert hosts.outcomes().keys() == set(ROOMS)
    jobs.close()

    assert (hosts.outcomes(), hosts.all()) == ({}, [])
