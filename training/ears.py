"""Who hears what is said: a recogniser that knows the repertoire alone; and in which voice.

pocketsphinx with the English model of its wheel, and a grammar of the sentences.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sphn
from pocketsphinx import Decoder

from training.locked import find_pitch
from training.repertoire import VOICES
from training.sound import RATE_HZ, Pcm

HEARS_HZ = 16_000
PADDING_S = 0.2
MIDDLE_HZ = 160.0  # of all voices
LEAST_VOICED = 10  # pieces of 5 ms
SOUNDS_LIKE = {"moshi": "mo she"}  # words that its dictionary has not


def spelled(text: str) -> str:
    """A sentence as the recogniser writes it: small letters, no marks."""
    words = re.sub(r"[^a-z' ]", "", text.lower()).split()
    return " ".join(SOUNDS_LIKE.get(word, word) for word in words)


def voice_of(pcm: Pcm) -> str | None:
    """The model's voice that is nearest in pitch to this sound `[S]`; None: nothing is voiced."""
    pitch = find_pitch(pcm.astype(np.float64), MIDDLE_HZ)
    if pitch.voiced.sum() <= LEAST_VOICED:
        return None
    hz = float(np.median(pitch.hz[pitch.voiced]))
    return min(VOICES.values(), key=lambda voice: abs(voice.range_hz[0] - hz)).name


class Ears:
    """Recognises the sentences of a repertoire."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._written = {spelled(text): text for text in sentences}
        rules = " | ".join(self._written)
        with TemporaryDirectory() as folder:
            grammar = Path(folder) / "repertoire.jsgf"
            grammar.write_text(f"#JSGF V1.0;\ngrammar r;\npublic <line> = {rules};\n")
            self._decoder = Decoder(jsgf=str(grammar), loglevel="FATAL", samprate=HEARS_HZ)

    def hear(self, pcm: Pcm) -> str | None:
        """Which sentence this sound `[S]` at 24 kHz is; None: none of them."""
        padded = np.pad(pcm, int(PADDING_S * RATE_HZ)).astype(np.float32)
        sound = sphn.resample(padded, src_sample_rate=RATE_HZ, dst_sample_rate=HEARS_HZ)
        data = (sound * 32767).clip(-32768, 32767).astype(np.int16).tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(data, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return self._written.get(heard.hypstr) if heard else None
