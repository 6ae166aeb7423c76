"""A `sounddevice` without a sound card, for `python -m moshi.client`: files instead of devices.

The microphone plays `$MICROPHONE`, raw float32 at the stream's rate, then silence; played sound is
written to `$LOUDSPEAKER`. As in PortAudio, threads call back at the rate of the sound.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

Callback = Callable[[Any, int, Any, Any], None]


class _Stream:
    """A device that calls back once for each block."""

    def __init__(
        self, *, samplerate: float, channels: int, blocksize: int, callback: Callback
    ) -> None:
        self._period_s = blocksize / samplerate
        self._shape = (blocksize, channels)
        self._callback = callback
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.is_set():
            self._block()
            due_s += self._period_s
            time.sleep(max(due_s - time.monotonic(), 0.0))

    def _block(self) -> None:
        raise NotImplementedError


class InputStream(_Stream):
    """The microphone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._left = np.fromfile(os.environ["MICROPHONE"], dtype=np.float32)

    def _block(self) -> None:
        block = np.zeros(self._shape, dtype=np.float32)
        taken, self._left = self._left[: len(block)], self._left[len(block) :]
        block[: len(taken), 0] = taken
        self._callback(block, len(block), None, None)


class OutputStream(_Stream):
    """The loudspeaker."""

    def _block(self) -> None:
        block = np.zeros(self._shape, dtype=np.float32)
        self._callback(block, len(block), None, None)
        with Path(os.environ["LOUDSPEAKER"]).open("ab") as file:
            file.write(block.tobytes())
