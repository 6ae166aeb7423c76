"""When each word of a sentence begins: pocketsphinx aligns the sound with the sentence.

Words that it does not find at the end are spread evenly there: a sentence that no recogniser
understands is not learned as an answer.
"""

from functools import cache

from pocketsphinx import Decoder

from training.ears import HEARS_HZ, PADDING_S, listen, spelled
from training.sound import RATE_HZ, Pcm

FRAME_S = 0.01  # of the recogniser


def words_of(pcm: Pcm, text: str) -> tuple[float, ...]:
    """Return when each word of the text begins in this sound `[S]` at 24 kHz, in seconds."""
    parts = [spelled(word).split() for word in text.split()]
    begins = _begins(pcm, [part for each in parts for part in each])
    times: list[float] = []
    at = 0
    for each in parts:
        times.append(begins[at])
        at += len(each)
    return tuple(times)


@cache
def _decoder() -> Decoder:
    return Decoder(lm=None, loglevel="FATAL", samprate=HEARS_HZ)


def _begins(pcm: Pcm, words: list[str]) -> list[float]:
    decoder = _decoder()
    rules = f"#JSGF V1.0;\ngrammar r;\npublic <line> = {' '.join(words)};\n"
    decoder.add_jsgf_string("line", rules)
    decoder.activate_search("line")
    listen(decoder, pcm)
    heard = [each for each in decoder.seg() or () if not each.word.startswith(("<", "[", "(NULL"))]
    found = [max(0.0, each.start_frame * FRAME_S - PADDING_S) for each in heard][: len(words)]
    end_s = len(pcm) / RATE_HZ
    last_s = found[-1] if found else 0.0
    missing = len(words) - len(found)
    return found + [last_s + (end_s - last_s) * (n + 1) / (missing + 1) for n in range(missing)]
