"""espeak-ng's own synthesis by its C library: sound, and when each word begins.

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
    "espeak-ng is missing: it makes the speech that the pocket Moshi learns from. "
    "Install it (Debian, Ubuntu: apt-get install espeak-ng; Fedora: dnf install espeak-ng; "
    "macOS: brew install espeak-ng) and begin again"
)
SYNCHRONOUS, UTF8, WORD_EVENT = 2, 1, 1
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Heard = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How espeak-ng is to speak."""

    voice: str  # "en-us+f2"
    pitch: int = 50  # 0 to 99
    pitch_range: int = 50
    words_per_minute: int = 160


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence as espeak-ng speaks it."""

    pcm: Pcm  # [S] at `RATE_HZ`
    words_s: tuple[float, ...]  # when each word begins, of those that blanks part


class EspeakMissing(RuntimeError):
    """espeak-ng is not installed."""


@cache
def _library() -> tuple[Any, int]:
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        raise EspeakMissing(MISSING)
    library = ctypes.CDLL(name)
    rate_hz = library.espeak_Initialize(SYNCHRONOUS, 0, None, 0)
    if rate_hz <= 0:
        raise EspeakMissing(MISSING)
    return library, rate_hz


def speak(text: str, manner: Manner) -> Spoken:
    """Speak a text. Raises `EspeakMissing`, and `ValueError` for a voice that it has not."""
    library, rate_hz = _library()
    if library.espeak_SetVoiceByName(manner.voice.encode()) != 0:
        raise ValueError(f"voice: got {manner.voice!r}; espeak-ng has no such voice")
    for parameter, value in (
        (RATE, manner.words_per_minute),
        (PITCH, manner.pitch),
        (RANGE, manner.pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    pieces: list[Pcm] = []
    begins: dict[int, float] = {}
    heard = _Heard(_listener(pieces, begins))
    library.espeak_SetSynthCallback(heard)
    data = text.encode() + b"\0"
    library.espeak_Synth(data, len(data), 0, 0, 0, UTF8, None, None)
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if rate_hz != RATE_HZ:
        pcm = sphn.resample(pcm, src_sample_rate=rate_hz, dst_sample_rate=RATE_HZ)
    return Spoken(pcm, _of_words(text, begins))


def _listener(pieces: list[Pcm], begins: dict[int, float]) -> Callable[..., int]:
    def heard(wave: Any, count: int, events: Any) -> int:
        if count > 0 and wave:
            sound = np.ctypeslib.as_array(wave, (count,)).astype(np.float32)
            pieces.append(sound / 32768)
        n = 0
        while events[n].type != 0:
            if events[n].type == WORD_EVENT:
                begins.setdefault(events[n].text_position - 1, events[n].audio_ms / 1000)
            n += 1
        return 0

    return heard


def _of_words(text: str, begins: dict[int, float]) -> tuple[float, ...]:
    """When the words begin; one for which espeak-ng tells no time begins with the one before."""
    times: list[float] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        own = [time for place, time in begins.items() if at <= place < at + len(word)]
        times.append(min(own) if own else (times[-1] if times else 0.0))
        at += len(word)
    return tuple(times)
