"""When each voice sounded, as one listener heard it: a level for each 10 ms. Pure.

WebRTC plays all of a listener's tracks by one clock, so the clock here is counted in pieces of
sound and not in arrivals: a busy machine that delivers late shifts nothing. A voice that comes
later begins at the piece that the others have reached.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

PIECE_S = 0.01
VOICED_DBFS = -45.0  # what the worker takes for a voice, too
BREATH = 10  # pieces: a shorter dip is inside a word

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Line:
    begins: int
    levels: "array[float]" = field(default_factory=lambda: array("f"))

    @property
    def ends(self) -> int:
        return self.begins + len(self.levels)


class Timeline:
    """Levels of several voices on one clock. Called from one thread."""

    def __init__(self) -> None:
        self.now = 0  # pieces
        self._lines: dict[str, _Line] = {}

    def add(self, who: str, piece: npt.NDArray[np.float32]) -> None:
        """Take the next 10 ms of a voice, float32 in [-1, 1]."""
        line = self._lines.setdefault(who, _Line(self.now))
        power = float(np.dot(piece, piece)) / max(len(piece), 1)
        line.levels.append(10.0 * float(np.log10(power + 1e-12)))
        self.now = max(self.now, line.ends)

    def voiced(self, who: str, since: int = 0) -> Flags:
        """Return in which pieces from `since` on a voice sounded; short dips are part of a word."""
        return _without_dips(self._loud(who))[since:]

    def longest_silence_s(self, whose: Iterable[str], since: int = 0) -> float:
        """Return the longest time in which none of these voices sounded, dips included."""
        silent = ~np.any([self._loud(who) for who in whose], axis=0)[since:]
        return max((end - begin for begin, end in _runs(silent)), default=0) * PIECE_S

    def _loud(self, who: str) -> Flags:
        loud, line = np.zeros(self.now, dtype=np.bool_), self._lines.get(who)
        if line is not None:
            levels = np.array(line.levels, dtype=np.float32)
            loud[line.begins : line.ends] = levels > VOICED_DBFS
        return loud

    def spoke_s(self, who: str, since: int = 0) -> float:
        """Return the seconds that a voice sounded."""
        return float(self.voiced(who, since).sum() * PIECE_S)

    def overlaps_s(self, whose: Iterable[str], since: int = 0) -> list[float]:
        """Return the duration in seconds of each overlap of two or more voices."""
        voices = [self.voiced(who, since) for who in whose]
        if not voices:
            return []
        together = np.sum(voices, axis=0) > 1
        return [(end - begin) * PIECE_S for begin, end in _runs(together)]

    def skew_s(self) -> float:
        """Return how far the current voices drifted apart, in seconds; near 0 if correct."""
        ends = [line.ends for line in self._lines.values()]
        live = [end for end in ends if self.now - end < 100]
        return (max(live) - min(live)) * PIECE_S if live else 0.0


def _without_dips(loud: Flags) -> Flags:
    filled = loud.copy()
    for begin, end in _runs(~loud):
        if begin > 0 and end < len(loud) and end - begin < BREATH:
            filled[begin:end] = True
    return filled


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Return begin and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
