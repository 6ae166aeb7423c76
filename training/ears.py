"""Recognition of what the model says: which sentence of the repertoire, and in which voice.

pocketsphinx with the English model of its wheel, and a grammar of the sentences.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import sphn
from pocketsphinx import Decoder

from training.sound import RATE_HZ, Pcm
from worker.engine.files import pocket
from worker.frames import to_int16

HEARS_HZ = 16_000
PADDING_S = 0.2
SPAN, HOP = 512, 240  # samples of a spectrum, and from one to the next
BANDS = np.unique((np.geomspace(150, 9000, 25) / RATE_HZ * SPAN).round().astype(int))  # edges: bins
SOUNDING = 1e-3  # of the power of the loudest spectrum
LEAST_SOUNDING = 20  # spectra
SOUNDS_LIKE = {"moshi": "mo she"}  # words that its dictionary has not


def spelled(text: str) -> str:
    """Return a sentence as the recogniser writes it: small letters, no punctuation."""
    words = re.sub(r"[^a-z' ]", "", text.lower()).split()
    return " ".join(SOUNDS_LIKE.get(word, word) for word in words)


def voice_of(pcm: Pcm) -> str | None:
    """Return the voice whose recording is most like this sound `[S]`; None if it is too short.

    What is compared is how loud each band of frequencies is on average, and how much it varies.
    """
    timbre = _timbre(pcm)
    if timbre is None:
        return None
    recordings = _recordings()
    return min(recordings, key=lambda name: float(np.sum((timbre - recordings[name]) ** 2)))


@cache
def _recordings() -> dict[str, npt.NDArray[np.float64]]:
    paths = sorted((pocket.FOLDER / "voices").glob("*.wav"))
    timbres = {path.stem: _timbre(sphn.read(str(path))[0][0]) for path in paths}
    return {name: timbre for name, timbre in timbres.items() if timbre is not None}


def _timbre(pcm: Pcm) -> npt.NDArray[np.float64] | None:
    spans = np.lib.stride_tricks.sliding_window_view(pcm, SPAN)[::HOP] * np.hanning(SPAN)
    power = np.abs(np.fft.rfft(spans)) ** 2
    whole = power.sum(axis=1)
    power = power[whole > SOUNDING * whole.max()]
    if len(power) < LEAST_SOUNDING:
        return None
    bands = [power[:, low:high].mean(axis=1) for low, high in pairwise(BANDS)]
    loud = np.log(np.stack(bands, axis=1) + 1e-9)
    loud -= loud.mean(axis=1, keepdims=True)
    return np.concatenate([loud.mean(axis=0), loud.std(axis=0) / 2])


def listen(decoder: Decoder, pcm: Pcm) -> None:
    """Let a recogniser hear a whole sound `[S]` at 24 kHz, with silence around it."""
    padded = np.pad(pcm, int(PADDING_S * RATE_HZ)).astype(np.float32)
    sound = sphn.resample(padded, src_sample_rate=RATE_HZ, dst_sample_rate=HEARS_HZ)
    decoder.start_utt()
    decoder.process_raw(to_int16(sound).tobytes(), full_utt=True)
    decoder.end_utt()


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
        """Return which sentence this sound `[S]` at 24 kHz is; None if it is none of them."""
        listen(self._decoder, pcm)
        heard = self._decoder.hyp()
        return self._written.get(heard.hypstr) if heard else None
