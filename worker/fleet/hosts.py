"""The rooms that this worker hosts, and what became of its latest dispatches.

Written by threads of `room_process`, read by the heartbeat on the main loop. One lock, held
briefly.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from protocol.commands import Answer, Command
from protocol.heartbeat import Outcome, RoomOutcome
from protocol.room_spec import RoomSpec
from worker.metrics import ROOMS

OUTCOME_KEPT_S = 40.0  # longer than the token service waits for a host (at most 30 s)


@dataclass(frozen=True, slots=True)
class Hosting:
    """One room that is being hosted. Its calls may be made from any thread."""

    room: str
    generation: int
    leave: Callable[[str], None]
    follow: Callable[[RoomSpec], None]
    execute: Callable[[Command, float], Future[Answer]]  # until a monotonic time
    spec: Callable[[], RoomSpec]  # the spec that the host follows now
    stands_by: Callable[[], bool] = lambda: False  # it is to take over from another host


class Hosts:
    """The hosted rooms of this worker and the outcomes of its latest dispatches."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hosting: dict[str, Hosting] = {}
        self._over: dict[str, tuple[RoomOutcome, float]] = {}  # by room, with the time to forget it
        self._lock = threading.Lock()

    def add(self, hosting: Hosting) -> None:
        """Add a host that has begun. Of two hosts of one room, tell the older one to leave."""
        with self._lock:
            other = self._hosting.get(hosting.room)
            is_newer = other is None or other.generation <= hosting.generation
            if is_newer:
                self._hosting[hosting.room] = hosting
            ROOMS.set(len(self._hosting))
        outdated = other if is_newer else hosting
        if outdated is not None:
            outdated.leave("a newer host is here")

    def remove(self, hosting: Hosting, outcome: Outcome | None) -> None:
        """Remove a host that has ended, and keep how it ended; None: it was lost."""
        with self._lock:
            if self._hosting.get(hosting.room) is hosting:
                del self._hosting[hosting.room]
                ROOMS.set(len(self._hosting))
            self._keep(hosting.room, hosting.generation, outcome)

    def refuse(self, spec: RoomSpec) -> None:
        """Keep that this worker did not take a dispatch."""
        with self._lock:
            self._keep(spec.room, spec.generation, "refused")

    def _keep(self, room: str, generation: int, outcome: Outcome | None) -> None:
        known = self._over.get(room)
        if known is None or known[0].generation <= generation:
            ended = RoomOutcome(
                generation=generation, outcome=outcome or "left", lost=outcome is None
            )
            self._over[room] = (ended, self._clock() + OUTCOME_KEPT_S)

    def outcomes(self) -> dict[str, RoomOutcome]:
        """Return the outcome of each room's newest dispatch to this worker."""
        with self._lock:
            now_s = self._clock()
            self._over = {room: each for room, each in self._over.items() if each[1] > now_s}
            known = {room: outcome for room, (outcome, _) in self._over.items()}
            for room, each in self._hosting.items():
                if room not in known or known[room].generation <= each.generation:
                    outcome = "standby" if each.stands_by() else "hosted"
                    known[room] = RoomOutcome(generation=each.generation, outcome=outcome)
            return known

    def of(self, room: str, generation: int) -> Hosting | None:
        """Return the host of a room where it has this generation."""
        with self._lock:
            hosting = self._hosting.get(room)
        return hosting if hosting is not None and hosting.generation == generation else None

    def all(self) -> list[Hosting]:
        with self._lock:
            return list(self._hosting.values())
