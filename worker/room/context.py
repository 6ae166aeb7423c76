"""The objects that all hosts of one process share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mind.thread import MindThread
from protocol.config.settings import Settings
from protocol.events import Event
from worker.backup.store import BackupStore
from worker.engine.door import EngineDoor
from worker.hearing.recogniser import Recogniser
from worker.recording.recordings import Recordings
from worker.room.job import JobReports


@dataclass(frozen=True, slots=True)
class HostContext:
    """The parts of a process that its rooms' hosts use."""

    settings: Settings
    engine: EngineDoor
    recogniser: Recogniser | None  # None: people's words are not written
    reports: JobReports
    emit: Callable[[str, Event], None]  # adds an event to a room's stream
    recordings: Recordings | None  # where they have a place
    backups: BackupStore | None  # None: `REMEMBER=off`
    minds: MindThread | None  # where a persona's file defines one
    read_events: Callable[[str], Awaitable[list[Event]]]  # of a room's stream
