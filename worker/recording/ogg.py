"""Ogg/Opus in stereo, as a file that grows and can be played at any moment.

sphn writes Opus in mono only; this is PyAV, which LiveKit's agents bring. FFmpeg holds the last
page back until the next one is whole, so pages are short.
"""

from io import FileIO
from typing import Any

import av

from worker.frames import RATE_HZ, Pcm16

PAGE_US = 300_000
BITS_PER_S = 64_000  # 29 MB an hour


class OggOpusFile:
    """Encodes sound into a file. Called from one thread; every call may raise `OSError`."""

    def __init__(self, file: FileIO) -> None:
        options = {"page_duration": str(PAGE_US), "flush_packets": "1"}
        self._container = av.open(file, "w", format="ogg", options=options)
        self._stream = self._container.add_stream("libopus", rate=RATE_HZ, layout="stereo")
        self._stream.bit_rate = BITS_PER_S
        self._samples = 0

    def write(self, pcm: Pcm16) -> None:
        """Encode the next samples, `[n, 2]`."""
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE_HZ, self._samples
        self._samples += len(pcm)
        self._mux(frame)

    def close(self) -> None:
        """Write the encoder's last packets, and the end of the stream."""
        self._mux(None)
        self._container.close()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
