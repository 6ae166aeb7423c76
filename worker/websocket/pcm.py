"""Plain sound of WebSocket clients: 16-bit PCM, little endian, mono, 24 kHz. Pure."""

from collections.abc import Iterator

import numpy as np

from worker.engine.arrays import Pcm
from worker.sound.int16 import to_int16

SAMPLE = np.dtype("<i2")
PACKET_BYTES = 960  # 20 ms


class PcmReader:
    """Cuts one client's samples into frames, wherever its messages end."""

    def __init__(self, frame_samples: int) -> None:
        self._frame_bytes = frame_samples * SAMPLE.itemsize
        self._rest = b""

    def split(self, message: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the message with how many packets of 20 ms it is."""
        if message:
            yield -(-len(message) // PACKET_BYTES), message

    def decode(self, piece: bytes) -> list[Pcm]:
        """Return the frames that are whole now, `[frame_samples]` float32."""
        data = self._rest + piece
        whole = len(data) // self._frame_bytes * self._frame_bytes
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], SAMPLE).astype(np.float32) / 32768.0
        return list(samples.reshape(-1, self._frame_bytes // SAMPLE.itemsize))


class PcmWriter:
    """Writes frames as samples."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return a frame, `[n]` float32, clipped to [-1, 1]."""
        return to_int16(pcm).astype(SAMPLE).tobytes()
