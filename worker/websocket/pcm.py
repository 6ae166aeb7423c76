"""Plain sound of WebSocket clients: 16-bit PCM, little endian, mono, 24 kHz. Pure."""

from collections.abc import Iterator

import numpy as np

from worker.engine.arrays import Pcm
from worker.frames import FRAME_SAMPLES, from_int16, to_int16

SAMPLE = np.dtype("<i2")
FRAME_BYTES = FRAME_SAMPLES * SAMPLE.itemsize
PACKET_BYTES = 960  # 20 ms


class PcmReader:
    """Cuts one client's samples into frames, wherever its messages end."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, message: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the message with how many packets of 20 ms it is."""
        if message:
            yield -(-len(message) // PACKET_BYTES), message

    def decode(self, piece: bytes) -> list[Pcm]:
        """Return the frames that are whole now, `[1920]` float32."""
        data = self._rest + piece
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], SAMPLE)
        return list(from_int16(samples).reshape(-1, FRAME_SAMPLES))


class PcmWriter:
    """Writes frames as samples."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return a frame, `[n]` float32, clipped to [-1, 1]."""
        return to_int16(pcm).astype(SAMPLE).tobytes()
