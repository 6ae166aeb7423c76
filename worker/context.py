"""The parts of the main process that processes of rooms and WebSockets use."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.engine.engine import Engine
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosts
from worker.hearing.recogniser import Recogniser


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The engine of a worker and what counts on it, once the model is loaded. Any thread."""

    engine: Engine
    recogniser: Recogniser | None  # None: people's words are not written
    admission: JobAdmission
    hosts: Hosts
    changed: Callable[[], None]  # publishes a heartbeat now: slots or rooms have changed
    lost_rooms: Callable[[], None] = lambda: None  # a process of rooms has ended. Main loop
