"""Cuts one person's sound into turns, at the pauses that Silero's VAD finds. Pure.

A turn ends after a longer pause than in LiveKit's agents: a recogniser needs the whole sentence. A
turn that goes on is cut where it is least like speech, so that its words come while the person
still speaks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from worker.frames import Pcm16
from worker.vad import (
    SILENCE_BELOW,
    SPEECH_AT,
    SPEECH_WINDOWS,
    VAD_RATE_HZ,
    WINDOW_S,
    VadWindows,
)

PAUSE_WINDOWS = 16  # 0.5 s of silence end it
BEFORE_WINDOWS = 10  # 0.3 s of sound before the first speech belong to the turn
AFTER_WINDOWS = 6  # and 0.2 s after the last
FOUND_WINDOWS = 1, 3  # the VAD finds a beginning so much late, and an end so much early
MOST_WINDOWS = 375  # 12 s
CUT_WINDOWS = 125  # a longer turn is cut within its last 4 s


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A person's speech between two pauses."""

    pcm: Pcm16  # [n] at 16 kHz
    start_s: float  # of the listening
    before_s: float = 0.0  # silence at its beginning
    after_s: float = 0.0  # and at its end

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / VAD_RATE_HZ


@dataclass(slots=True)
class Turns:
    """Cuts one listening's sound. Called from one thread."""

    _cutter: VadWindows = field(default_factory=VadWindows)
    _windows: list[Pcm16] = field(default_factory=list[Pcm16])  # of the turn, or those before one
    _speech: list[float] = field(default_factory=list[float])  # the VAD's probability of each
    _next_window: int = 0  # since the listening began
    _silent_windows: int = 0  # at the end of `_windows`
    _is_speaking: bool = False
    _before_windows: int = 0  # of the turn, before its first speech

    def feed(self, pcm: Pcm16) -> Iterator[SpokenTurn]:
        """Take the next samples, `[n]` int16 at 16 kHz; yield each turn that ended with them."""
        for window, speech, _ in self._cutter.feed(pcm):
            self._add(window, speech)
            if self._is_speaking:
                yield from self._ended()
            else:
                self._look_for_start()

    def end(self, at_s: float) -> Iterator[SpokenTurn]:
        """End the turn, if there is one; the next sound is that of the time `at_s`."""
        if self._is_speaking:
            yield self._take(len(self._windows))
        self._cutter.reset()
        self._windows, self._speech, self._is_speaking = [], [], False
        self._next_window = round(at_s / WINDOW_S)

    def _add(self, window: Pcm16, speech: float) -> None:
        threshold = SILENCE_BELOW if self._is_speaking else SPEECH_AT
        self._silent_windows = 0 if speech >= threshold else self._silent_windows + 1
        self._windows.append(window)
        self._speech.append(speech)
        self._next_window += 1

    def _look_for_start(self) -> None:
        del self._windows[: -BEFORE_WINDOWS - SPEECH_WINDOWS]
        del self._speech[: -BEFORE_WINDOWS - SPEECH_WINDOWS]
        latest = self._speech[-SPEECH_WINDOWS:]
        self._is_speaking = len(latest) == SPEECH_WINDOWS and min(latest) >= SPEECH_AT
        self._before_windows = max(len(self._windows) - SPEECH_WINDOWS - FOUND_WINDOWS[0], 0)

    def _ended(self) -> Iterator[SpokenTurn]:
        if self._silent_windows >= PAUSE_WINDOWS:
            windows = len(self._windows) - PAUSE_WINDOWS + AFTER_WINDOWS
            yield self._take(windows, AFTER_WINDOWS - FOUND_WINDOWS[1])
            self._is_speaking = False
        elif len(self._windows) >= MOST_WINDOWS:
            yield self._take(MOST_WINDOWS - CUT_WINDOWS + _quietest(self._speech[-CUT_WINDOWS:]))

    def _take(self, windows: int, after: int = 0) -> SpokenTurn:
        """Return the turn's first windows as a turn and keep the others.

        `after`: so many of them, at its end, are silence.
        """
        start_s = (self._next_window - len(self._windows)) * WINDOW_S
        pcm, before_s = np.concatenate(self._windows[:windows]), self._before_windows * WINDOW_S
        turn = SpokenTurn(pcm, start_s, before_s, after * WINDOW_S)
        self._before_windows = 0
        del self._windows[:windows]
        del self._speech[:windows]
        return turn


def _quietest(speech: list[float]) -> int:
    return min(range(1, len(speech)), key=speech.__getitem__)
