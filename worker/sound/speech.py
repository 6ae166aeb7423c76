"""When the people of a room speak: Silero over what the ears heard. Runs on the room's event loop.

The SFU's own active-speaker events come 0.4 to 0.8 s late; this is what turn figures need.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from livekit.agents import inference
from livekit.agents.vad import VADEventType

from worker.engine.arrays import Pcm
from worker.sound.voice import to_audio_frame

# One executor for all rooms: by default each stream would start a thread of its own.
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vad")


class Speech:
    """Calls `on_start()` and `on_end(at_s)` on transitions; `at_s` is the event loop's time."""

    def __init__(self, on_start: Callable[[], None], on_end: Callable[[float], None]) -> None:
        self._on_start = on_start
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._stream = inference.VAD(executor=_executor).stream()
        self._task = asyncio.create_task(self._run(), name="speech")

    def push(self, pcm: Pcm) -> None:
        """Give it a frame of what people said, `[n]` float32 at 24 kHz."""
        self._stream.push_frame(to_audio_frame(pcm))

    async def aclose(self) -> None:
        """Stop."""
        await self._stream.aclose()
        self._task.cancel()

    async def _run(self) -> None:
        async for event in self._stream:
            if event.type == VADEventType.START_OF_SPEECH:
                self._on_start()
            elif event.type == VADEventType.END_OF_SPEECH:
                self._on_end(self._loop.time() - event.silence_duration)
