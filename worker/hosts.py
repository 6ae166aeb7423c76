"""Which rooms this worker hosts, which it refused, failed or left lately, in which generation.

Written by job threads, read by the heartbeat on the main loop; holds one lock, briefly.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from protocol.commands import Answer, Command
from protocol.room_spec import RoomSpec
from worker.metrics import ROOMS

TOLD_S = 40.0  # longer than a host is awaited at most (token_service/rooms/store.py)


class Outcomes:
    """Rooms with the generation of their dispatch, for so long as it is told what became of it.

    Called from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def add(self, spec: RoomSpec) -> None:
        """Tell of this room from now on."""
        with self._lock:
            self._told[spec.room] = (spec.generation, self._clock() + TOLD_S)

    def all(self) -> dict[str, int]:
        """Room → generation."""
        with self._lock:
            now_s = self._clock()
            self._told = {room: told for room, told in self._told.items() if told[1] > now_s}
            return {room: generation for room, (generation, _) in self._told.items()}


@dataclass(frozen=True, slots=True)
class Hosting:
    """One room that is being hosted. Its calls may be made from any thread."""

    room: str
    generation: int
    leave: Callable[[str], None]
    follow: Callable[[RoomSpec], None]
    obey: Callable[[Command], Future[Answer]]
    spec: Callable[[], RoomSpec]  # the one that it follows now


class Hosts:
    """The rooms of this process."""

    def __init__(self) -> None:
        self._hosting: dict[str, Hosting] = {}
        self.refused = Outcomes()  # jobs that were not taken: nobody need wait for their host
        self.failed = Outcomes()  # hosts that ended with an error
        self.left = Outcomes()  # hosts that ended as they should: perhaps between two heartbeats
        self._lock = threading.Lock()

    def add(self, hosting: Hosting) -> None:
        """A host has begun. Of two of the same room the older generation is told to leave."""
        with self._lock:
            other = self._hosting.get(hosting.room)
            is_newer = other is None or other.generation <= hosting.generation
            if is_newer:
                self._hosting[hosting.room] = hosting
            ROOMS.set(len(self._hosting))
        outdated = other if is_newer else hosting
        if outdated is not None:
            outdated.leave("a newer host is here")

    def remove(self, hosting: Hosting) -> None:
        """A host has ended."""
        with self._lock:
            if self._hosting.get(hosting.room) is hosting:
                del self._hosting[hosting.room]
                ROOMS.set(len(self._hosting))

    def of(self, room: str, generation: int) -> Hosting | None:
        """Give the host of a room where it is of this generation."""
        with self._lock:
            hosting = self._hosting.get(room)
        return hosting if hosting is not None and hosting.generation == generation else None

    def all(self) -> list[Hosting]:
        """Every room hosted now."""
        with self._lock:
            return list(self._hosting.values())
