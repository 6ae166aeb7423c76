"""Sentences as the phonemes that Kokoro reads: espeak-ng's, in Kokoro's letters.

Kokoro was taught with misaki's letters, one for a diphthong; the pairs are those of misaki's
`espeak.py` (Apache-2.0), as far as American English has them.
"""

import ctypes
import re

from training.espeak import library

SAME = {
    "aɪ": "I",
    "aʊ": "W",
    "dʒ": "ʤ",
    "eɪ": "A",
    "tʃ": "ʧ",
    "ɔɪ": "Y",
    "oʊ": "O",
    "ɜː": "ɜɹ",
    "ɚɹ": "əɹ",
    "ɚ": "əɹ",
    "ɐ": "ə",
    "ɾ": "T",
    "ː": "",
}
AMERICAN = b"en-us"
MARKS = re.compile(r"\s*([.,!?;:]+)\s*")
IPA = 2  # espeak_TextToPhonemes: mode


def phonemes_of(text: str) -> str:
    """Return a sentence's phonemes with its marks. Raises `EspeakMissing`."""
    parts = MARKS.split(text)
    spoken = [part if n % 2 else _phonemes(part) for n, part in enumerate(parts)]
    joined = "".join(part + " " if n % 2 else part for n, part in enumerate(spoken)).strip()
    for theirs, ours in SAME.items():
        joined = joined.replace(theirs, ours)
    return re.sub(r"(^|\s)I", r"\1ˌI", joined)  # the word "I", which Kokoro leaves out unstressed


def _phonemes(part: str) -> str:
    speech, _ = library()
    speech.espeak_SetVoiceByName(AMERICAN)
    speech.espeak_TextToPhonemes.restype = ctypes.c_char_p
    data = ctypes.create_string_buffer(part.encode())
    left = ctypes.c_void_p(ctypes.addressof(data))
    out = ""
    while left.value:
        out += speech.espeak_TextToPhonemes(ctypes.byref(left), 1, IPA).decode()
    return out.strip()
