"""The objects that all hosts of this process share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mind.thread import MindThread
from protocol.config.settings import Settings
from protocol.events import Event
from worker.admission import JobAdmission
from worker.backup.store import BackupStore
from worker.engine.engine import Engine
from worker.hearing.recogniser import Recogniser
from worker.hosts import Hosts
from worker.recording.recordings import Recordings


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts of a worker that its rooms' hosts use."""

    settings: Settings
    engine: Engine
    recogniser: Recogniser | None  # None: people's words are not written
    admission: JobAdmission
    hosts: Hosts
    changed: Callable[[], None]  # publishes a heartbeat now: slots or rooms have changed
    emit: Callable[[str, Event], None]  # adds an event to a room's stream
    recordings: Recordings | None  # where they have a place
    backups: BackupStore | None  # None: `REMEMBER=off`
    minds: MindThread | None  # where a persona's file defines one
    read_events: Callable[[str], Awaitable[list[Event]]]  # of a room's stream
