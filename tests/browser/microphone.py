"""Sound files for the browser's microphone: a synthetic voice, or a recording."""

import wave
from pathlib import Path

import numpy as np
import sphn

RATE_HZ = 48_000
SECONDS = 6.0
SPEECH_S = 4.0  # then a pause for an answer
PITCH_HZ = 140.0
PEAK = 0.5


def write_voice(path: Path) -> Path:
    """Write syllables of a synthetic voice, then silence; Chromium repeats the file."""
    t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    pitch_hz = PITCH_HZ + 30.0 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 18)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * t) + 0.4, 0.0, 1.0) * (t < SPEECH_S)
    return _write(path, harmonics * syllables)


def write_turn(path: Path, recording: Path, pause_s: float) -> Path:
    """Write a spoken sentence, then a pause for the answer."""
    said, _ = sphn.read(recording, sample_rate=RATE_HZ)
    return _write(path, np.concatenate([said[0], np.zeros(int(pause_s * RATE_HZ))]))


def _write(path: Path, voice: np.ndarray) -> Path:
    pcm = (voice / np.abs(voice).max() * PEAK * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm.tobytes())
    return path
