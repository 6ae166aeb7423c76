"""When people and personas speak, and how soon a persona answers: one detector for each purpose.

`PeopleSpeech` tells from people's sound whether one of them speaks: for the floor and for turns.
`VoiceActivity` tells from a persona's own sound whether it speaks: for its state and for the floor.
`TurnTimer` measures from the one to the other. Each is called from one thread.
"""

import time
from collections.abc import Callable

from worker.engine.arrays import Pcm
from worker.frames import power, to_int16
from worker.sound.resample import Resampler
from worker.vad import SILENCE_BELOW, SPEECH_AT, SPEECH_WINDOWS, WINDOW_S, VadWindows

VOICED_POWER = 10.0**-4.5  # -45 dBFS: Moshi's idle sound lies some 20 dB below, its voice 15 above
QUIET_FRAMES = 6  # 480 ms without a voiced frame is a pause

PAUSE_WINDOWS = 4  # 128 ms are a pause; a persona may answer after 0.3 s
END_WINDOWS = 8  # 256 ms end it


class PeopleSpeech:
    """Detects the speech of a room's people by Silero's VAD. Pure, but for the clock.

    LiveKit's own active-speaker events come 0.4 to 0.8 s late, and livekit-agents' stream takes ten
    times as much of the interpreter as the VAD itself (docs/benchmarks.md).
    """

    def __init__(
        self,
        on_start: Callable[[], None],
        on_end: Callable[[float], None],
        on_pause: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`on_end(at_s)` gets the time of the last speech, by the monotonic clock.

        `on_pause(True)` comes soon after a person fell silent, before `on_end`; `on_pause(False)`
        where the speech goes on after so short a pause.
        """
        self.is_active = False
        self._on_start = on_start
        self._on_end = on_end
        self._on_pause = on_pause
        self._windows = VadWindows()
        self._resampler = Resampler(up=2, down=3)
        self._speech_windows = self._quiet_windows = 0  # the last ones, all alike

    def push(self, pcm: Pcm) -> None:
        """Take a frame of people's sound, `[n]` float32 at 24 kHz."""
        for _, speech, ago_s in self._windows.feed(to_int16(self._resampler.feed(pcm))):
            self._take(speech >= (SILENCE_BELOW if self.is_active else SPEECH_AT), ago_s)

    def _take(self, is_speech: bool, ago_s: float) -> None:
        """Take what the VAD says of a window that ended so long ago."""
        was_paused = self._quiet_windows >= PAUSE_WINDOWS
        self._speech_windows = self._speech_windows + 1 if is_speech else 0
        self._quiet_windows = 0 if is_speech else self._quiet_windows + 1
        if not self.is_active:
            if self._speech_windows == SPEECH_WINDOWS:
                self.is_active = True
                self._on_start()
        elif is_speech and was_paused:
            self._on_pause(False)
        elif self._quiet_windows == PAUSE_WINDOWS:
            self._on_pause(True)
        elif self._quiet_windows == END_WINDOWS:
            self.is_active = False
            self._on_end(time.monotonic() - ago_s - END_WINDOWS * WINDOW_S)


class VoiceActivity:
    """Detects the speech of one persona by its energy: the model emits sound without end."""

    def __init__(self) -> None:
        self.is_speaking = False
        self.is_voiced = False  # the last frame
        self._quiet_frames = QUIET_FRAMES

    def push(self, pcm: Pcm) -> bool:
        """Take a frame, `[n]` float32; return True if `is_speaking` changed with it."""
        self.is_voiced = power(pcm) > VOICED_POWER
        self._quiet_frames = 0 if self.is_voiced else self._quiet_frames + 1
        was_speaking = self.is_speaking
        self.is_speaking = self._quiet_frames < QUIET_FRAMES
        return self.is_speaking != was_speaking

    def stop(self) -> bool:
        """Note that no frame follows; return True if `is_speaking` changed with it."""
        was_speaking, self._quiet_frames = self.is_speaking, QUIET_FRAMES
        self.is_speaking = self.is_voiced = False
        return was_speaking


class TurnTimer:
    """Measures from the end of people's speech to one persona's first voiced frame.

    Times are seconds of one monotonic clock. The VAD reports the end of speech only after a
    silence, so the persona may have begun to answer before it. Pure.
    """

    def __init__(self) -> None:
        self._people_ended_s: float | None = None  # of speech that is not answered yet
        self._persona_began_s: float | None = None  # None: the persona is silent

    def people_started(self) -> None:
        """Forget the last end of speech: an answer that begins now does not answer it."""
        self._people_ended_s = None

    def people_ended(self, at_s: float) -> float | None:
        """Note the end of speech; return the latency if the persona has answered since."""
        if self._persona_began_s is None:
            self._people_ended_s = at_s
            return None
        return self._persona_began_s - at_s if self._persona_began_s > at_s else None

    def persona_started(self, at_s: float) -> float | None:
        """Note the persona's first voiced frame; return the latency if it answers speech."""
        self._persona_began_s = at_s
        ended_s, self._people_ended_s = self._people_ended_s, None
        return at_s - ended_s if ended_s is not None else None

    def persona_paused(self) -> None:
        """Note that the persona fell silent."""
        self._persona_began_s = None
