"""When the lives of a room's keys are renewed: not at each of a room's sweeps. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from protocol.room_spec import RoomSpec

PERIOD_S = 60.0
SHARE = 0.1  # of the shortest life


@dataclass(slots=True)
class Renewals:
    """Notes which specs were renewed when."""

    life_s: float
    _renewed_s: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def due(self, specs: Iterable[RoomSpec], now_s: float) -> list[RoomSpec]:
        """Return those that were not due for a while; forget all that are not given.

        A spec is due when it is first seen, then at its own place in the period: a service that
        starts sees all at once.
        """
        period_s, specs = min(PERIOD_S, SHARE * self.life_s), list(specs)
        old, self._renewed_s = self._renewed_s, {}
        due: list[RoomSpec] = []
        for spec in specs:
            key = spec.room, spec.session
            renewed_s = old.get(key)
            if renewed_s is None:
                due.append(spec)
                renewed_s = now_s - period_s * _place(spec.room)
            elif now_s - renewed_s >= period_s:
                due.append(spec)
                renewed_s = now_s
            self._renewed_s[key] = renewed_s
        return due

    def clear(self) -> None:
        """Let all be due: redis lost them."""
        self._renewed_s = {}


def _place(room: str) -> float:
    """Return a number in [0, 1) that is always the same for this room."""
    return crc32(room.encode()) / 2**32
