"""espeak-ng by its C library: people's voices in training.

Blocks, and is not thread-safe: the library holds one voice per process. Nothing is written.
The calls and structures are those of espeak-ng's speak_lib.h (1.51).
"""

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sphn

from training.sound import RATE_HZ, Pcm

MISSING = (
    "espeak-ng is missing: it speaks for the people that the pocket Moshi learns to hear. "
    "Install it (Debian, Ubuntu: apt-get install espeak-ng; Fedora: dnf install espeak-ng; "
    "macOS: brew install espeak-ng) and begin again"
)
SYNCHRONOUS, UTF8 = 2, 1
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER


_Heard = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How espeak-ng is to speak."""

    voice: str  # "en-us+f2"
    pitch: int = 50  # 0 to 99
    pitch_range: int = 50
    words_per_minute: int = 160


class EspeakMissing(RuntimeError):
    """espeak-ng is not installed."""


@cache
def library() -> tuple[Any, int]:
    """Return the C library, opened once, and its rate in Hz. Raises `EspeakMissing`."""
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        raise EspeakMissing(MISSING)
    speech = ctypes.CDLL(name)
    rate_hz = speech.espeak_Initialize(SYNCHRONOUS, 0, None, 0)
    if rate_hz <= 0:
        raise EspeakMissing(MISSING)
    return speech, rate_hz


def speak(text: str, manner: Manner) -> Pcm:
    """Speak a text. Raises `EspeakMissing`, and `ValueError` for a voice that it does not have."""
    speech, rate_hz = library()
    if speech.espeak_SetVoiceByName(manner.voice.encode()) != 0:
        raise ValueError(f"voice: got {manner.voice!r}; espeak-ng has no such voice")
    for parameter, value in (
        (RATE, manner.words_per_minute),
        (PITCH, manner.pitch),
        (RANGE, manner.pitch_range),
    ):
        speech.espeak_SetParameter(parameter, value, 0)
    pieces: list[Pcm] = []
    heard = _Heard(_listener(pieces))
    speech.espeak_SetSynthCallback(heard)
    data = text.encode() + b"\0"
    speech.espeak_Synth(data, len(data), 0, 0, 0, UTF8, None, None)
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if rate_hz != RATE_HZ:
        pcm = sphn.resample(pcm, src_sample_rate=rate_hz, dst_sample_rate=RATE_HZ)
    return pcm


def _listener(pieces: list[Pcm]) -> Callable[..., int]:
    def heard(wave: Any, count: int, _events: Any) -> int:
        if count > 0 and wave:
            sound = np.ctypeslib.as_array(wave, (count,)).astype(np.float32)
            pieces.append(sound / 32768)
        return 0

    return heard
