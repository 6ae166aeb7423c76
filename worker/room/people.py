"""How many people a room has, and when it has had none for a while. Room's event loop."""

import asyncio
from collections.abc import Callable

from livekit import rtc

from worker.sound.audience import is_person


class RoomPeople:
    """Counts people, and leaves a room that stays without them."""

    def __init__(self, room: rtc.Room, grace_s: float, leave: Callable[[str], None]) -> None:
        self._room, self._grace_s, self._leave = room, grace_s, leave
        self._empty_timer: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the room was empty at the last count."""
        return self._empty_timer is not None

    def count(self) -> int:
        """Return how many people there are; leave after a while if there are none."""
        people = sum(map(is_person, self._room.remote_participants.values()))
        if people:
            self.close()
        elif self._empty_timer is None:
            loop = asyncio.get_running_loop()
            self._empty_timer = loop.call_later(self._grace_s, self._leave, "the room is empty")
        return people

    def close(self) -> None:
        """Stop the timer."""
        if self._empty_timer is not None:
            self._empty_timer.cancel()
            self._empty_timer = None
