"""`python -m training [STAGE]`: what there is of the pocket Moshi's making, a stage at a time."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from training.corpus import Corpus, read_corpus
from training.ears import Ears
from training.espeak import EspeakMissing
from training.repertoire import VOICES, lines


def speech(state: Path) -> None:
    """Make the speech, and tell how well a recogniser understands it."""
    corpus = read_corpus(state)
    agents_s, people_s = corpus.seconds
    print(
        f"Agents' speech: {len(corpus.agents)} clips, {agents_s:.0f} s; people's: {people_s:.0f} s"
    )
    known = [line.text for line in lines()] + [voice.introduction for voice in VOICES.values()]
    for voice, (understood, count) in _understood(corpus, Ears(known)).items():
        print(f"{voice}: {understood} of {count} sentences recognised")


def _understood(corpus: Corpus, ears: Ears) -> dict[str, tuple[int, int]]:
    right: Counter[str] = Counter()
    count = Counter(clip.voice for clip in corpus.agents)
    for clip in corpus.agents:
        right[clip.voice] += ears.hear(clip.pcm) == clip.text
    return {voice: (right[voice], count[voice]) for voice in sorted(count)}


def codec(state: Path) -> None:
    """Train the codec, from where it was."""
    import torch

    from training.codec import train_codec

    torch.set_num_threads(1)
    train_codec(state)


STAGES = {"speech": speech, "codec": codec}


def main() -> None:
    """Run the stages that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="default: all of them")
    parser.add_argument(
        "--state", type=Path, default=Path("var/pocket"), help="default: %(default)s"
    )
    options = parser.parse_args()
    try:
        for stage in options.stages or STAGES:
            STAGES[stage](options.state)
    except EspeakMissing as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
