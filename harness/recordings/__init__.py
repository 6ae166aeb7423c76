"""Spoken sentences, for tests and benchmarks that hear.

Made with Debian's espeak-ng 1.51 (`espeak-ng -v en-us -w opening.wav "What time …"`, `en-gb` for
`station`) and PyAV 18.1.0's libopus, 24 kHz mono at 24 kbit/s.
"""

import re
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sphn

Sound = npt.NDArray[np.float32]

RATE_HZ = 24_000
AUDIBLE = 0.02  # of full scale
FOLDER = Path(__file__).parent
SENTENCES = {
    "opening": "What time do you open on Sunday?",
    "station": "Could you please tell me where I can find the nearest train station?",
}


# In en-us+m6, a voice that the pocket Moshi's training left out (training/repertoire.py).
QUESTIONS = {
    "name": "What is your name?",
    "tired": "I am so tired today.",
    "begin": "Where do I begin?",
    "elephants": "Seven yellow elephants.",
}


def is_heard_as(name: str, text: str) -> bool:
    """Return whether a text has most words of a sentence.

    A codec and the gaps of a busy machine change some. Another sentence has a tenth of them.
    """
    said, heard = (re.findall(r"\w+", each.lower()) for each in (SENTENCES[name], text))
    return SequenceMatcher(None, said, heard).ratio() > 0.5


def recording(name: str) -> Sound:
    """Return a sentence, `[n]` float32 at 24 kHz, with a second of silence on either side."""
    pcm, rate_hz = sphn.read_opus(FOLDER / f"{name}.ogg")
    spoken = sphn.resample(pcm, src_sample_rate=rate_hz, dst_sample_rate=RATE_HZ)
    return np.pad(spoken[0], RATE_HZ).astype(np.float32)


def speech(seconds: float, name: str = "station") -> Sound:
    """Return so many seconds of speech without a pause: a sentence again and again."""
    pcm = recording(name)
    sounding = np.flatnonzero(np.abs(pcm) > AUDIBLE)
    return np.resize(pcm[sounding[0] : sounding[-1]], round(seconds * RATE_HZ))
