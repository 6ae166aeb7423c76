"""Which rooms this worker hosts, and in which generation.

Written by job threads, read by the heartbeat on the main loop; holds one lock, briefly.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from protocol.promise import Promise
from worker.metrics import ROOMS


@dataclass(frozen=True, slots=True)
class Hosting:
    """One room that is being hosted. Its calls may be made from any thread."""

    room: str
    generation: int
    leave: Callable[[str], None]
    follow: Callable[[Promise], None]
    promise: Callable[[], Promise]  # the one that it follows now


class Hosts:
    """The rooms of this process."""

    def __init__(self) -> None:
        self._hosting: dict[str, Hosting] = {}
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

    def all(self) -> list[Hosting]:
        """Every room hosted now."""
        with self._lock:
            return list(self._hosting.values())
