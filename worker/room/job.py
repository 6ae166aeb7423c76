"""The job that LiveKit gave to this worker: one is the hosting of one room. Pure."""

from dataclasses import dataclass
from typing import Protocol

from protocol.room_spec import RoomSpec

SESSION_ENDED = "the session was ended"  # a reason to leave


@dataclass(frozen=True, slots=True)
class RoomJob:
    """A room to host, with the connection of its first persona."""

    id: str
    url: str  # of LiveKit
    token: str  # of the first persona's participant
    spec: RoomSpec
    stands_by: bool  # another host goes on until it stops, and then this one takes over


class JobReports(Protocol):
    """Takes what a host tells the worker of its job. Any thread."""

    def needs_no_more_slots(self, job_id: str) -> None:
        """Tell that no slot needs to be kept for this job any more."""
        ...

    def took_over(self, job_id: str) -> None:
        """Tell that the host stands by no more."""
        ...

    def changed(self) -> None:
        """Tell that slots or rooms have changed: a heartbeat is due."""
        ...
