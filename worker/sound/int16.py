"""16-bit samples, as LiveKit, WebSocket clients and recordings take them. Pure."""

import numpy as np
import numpy.typing as npt


def to_int16(pcm: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Return float32 of any shape, clipped to [-1, 1], as 16-bit samples."""
    return (np.clip(pcm, -1.0, 1.0) * 32767.0).astype(np.int16)
