"""When people and personas speak, and how soon a persona answers: one detector for each purpose.

`PeopleSpeech` tells from people's sound whether one of them speaks: for the floor and for turns.
`VoiceActivity` tells from a persona's own sound whether it speaks: for its state and for the floor.
`TurnTimer` measures from the one to the other. Runs on the room's event loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from livekit.agents import inference
from livekit.agents.vad import VADEventType

from worker.engine.arrays import Pcm
from worker.sound.voice import to_audio_frame

VOICED_POWER = 10.0**-4.5  # -45 dBFS: Moshi's idle sound lies some 20 dB below, its voice 15 above
PAUSE_S = 0.12  # of silence; a persona may answer after 0.3 s
QUIET_FRAMES = 6  # 480 ms without a voiced frame is a pause

# One executor for all rooms: by default each stream would start a thread of its own.
_vad_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vad")


class PeopleSpeech:
    """Detects the speech of a room's people by Silero's VAD.

    LiveKit's own active-speaker events come 0.4 to 0.8 s late.
    """

    def __init__(
        self,
        on_start: Callable[[], None],
        on_end: Callable[[float], None],
        on_pause: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`on_end(at_s)` gets the time of the last speech, by the event loop's clock.

        `on_pause(True)` comes soon after a person fell silent, before `on_end`; `on_pause(False)`
        where the speech goes on after so short a pause.
        """
        self.is_active = False
        self._is_paused = False
        self._on_start = on_start
        self._on_end = on_end
        self._on_pause = on_pause
        self._loop = asyncio.get_running_loop()
        self._stream = inference.VAD(executor=_vad_executor).stream()
        self._task = asyncio.create_task(self._run(), name="people speech")

    def push(self, pcm: Pcm) -> None:
        """Take a frame of people's sound, `[n]` float32 at 24 kHz."""
        self._stream.push_frame(to_audio_frame(pcm))

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._task.cancel()

    async def _run(self) -> None:
        async for event in self._stream:
            if event.type == VADEventType.START_OF_SPEECH:
                self.is_active, self._is_paused = True, False
                self._on_start()
            elif event.type == VADEventType.END_OF_SPEECH:
                self.is_active = False
                self._on_end(self._loop.time() - event.silence_duration)
            elif self.is_active and self._is_paused != (event.raw_accumulated_silence >= PAUSE_S):
                self._is_paused = not self._is_paused
                self._on_pause(self._is_paused)


class VoiceActivity:
    """Detects the speech of one persona by its energy: the model emits sound without end."""

    def __init__(self) -> None:
        self.is_speaking = False
        self.is_voiced = False  # the last frame
        self._quiet_frames = QUIET_FRAMES

    def push(self, pcm: Pcm) -> bool:
        """Take a frame, `[n]` float32; return True if `is_speaking` changed with it."""
        self.is_voiced = float(np.dot(pcm, pcm)) / len(pcm) > VOICED_POWER
        self._quiet_frames = 0 if self.is_voiced else self._quiet_frames + 1
        was_speaking = self.is_speaking
        self.is_speaking = self._quiet_frames < QUIET_FRAMES
        return self.is_speaking != was_speaking


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
