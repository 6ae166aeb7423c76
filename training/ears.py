"""Who hears whether a sentence can be understood: a recogniser that knows the repertoire alone.

pocketsphinx with the English model of its wheel, and a grammar of the sentences.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sphn
from pocketsphinx import Decoder

from training.sound import RATE_HZ, Pcm

HEARS_HZ = 16_000
PADDING_S = 0.2
SOUNDS_LIKE = {"moshi": "mo she"}  # words that its dictionary has not


def spelled(text: str) -> str:
    """A sentence as the recogniser writes it: small letters, no marks."""
    words = re.sub(r"[^a-z' ]", "", text.lower()).split()
    return " ".join(SOUNDS_LIKE.get(word, word) for word in words)


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
