"""`python -m training [STAGE …]`: make the pocket Moshi from nothing, a stage at a time.

Each stage continues from what the state folder has; the last one writes the shipped folder.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from training.codec import Codec, Place, read_codec, understood
from training.corpus import Corpus, read_corpus
from training.ears import Ears
from training.espeak import EspeakMissing
from training.language import School, language_run, school, train_language
from training.model import new_lm, write_model
from training.report import write_curves
from worker.engine.files import pocket

DRAFT = "model"  # the folder with random weights: what prompts are read from


def speech(state: Path) -> None:
    """Make the speech, and print how much of it a recogniser understands."""
    corpus = read_corpus(state)
    agents_s, people_s = corpus.seconds
    print(
        f"Agents' speech: {len(corpus.agents)} clips, {agents_s:.0f} s; people's: {people_s:.0f} s"
    )
    ears = Ears([clip.text for clip in corpus.agents])
    _tell(corpus, [ears.hear(clip.pcm) == clip.text for clip in corpus.agents])


def codec(state: Path) -> None:
    """Compute the codec, and print how much a recogniser understands of what it plays."""
    corpus, made, _ = _codec(state)
    _tell(corpus, understood(made, corpus.agents))


def language(state: Path) -> None:
    """Train the language model, or go on with its training."""
    train_language(_school(state), state)


def model(state: Path) -> None:
    """Write the model's folder and its curves."""
    corpus, made, _ = _codec(state)
    run = language_run(state)
    if not run.over:
        sys.exit(f"the language model is at step {run.at} of {run.steps}: run its stage first")
    write_model(pocket.FOLDER, made, corpus, run.model)
    write_curves(run, pocket.FOLDER / "curves.svg")
    size = sum(path.stat().st_size for path in pocket.FOLDER.rglob("*") if path.is_file())
    print(f"written: {pocket.FOLDER}, {size / 1e6:.1f} MB")


def _codec(state: Path) -> tuple[Corpus, Codec, list[Place]]:
    corpus = read_corpus(state)
    made, places = read_codec(state, corpus)
    return corpus, made, places


def _school(state: Path) -> School:
    corpus, made, places = _codec(state)
    write_model(state / DRAFT, made, corpus, new_lm())
    return school(corpus, made, places, state / DRAFT, understood(made, corpus.agents))


def _tell(corpus: Corpus, right: list[bool]) -> None:
    count = Counter(clip.voice for clip in corpus.agents)
    known = Counter(clip.voice for clip, ok in zip(corpus.agents, right, strict=True) if ok)
    for voice in sorted(count):
        print(f"{voice}: {known[voice]} of {count[voice]} sentences recognised")


STAGES = {"speech": speech, "codec": codec, "language": language, "model": model}


def main() -> None:
    """Run the named stages, or all."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="default: all of them")
    parser.add_argument(
        "--state", type=Path, default=Path("var/pocket"), help="default: %(default)s"
    )
    options = parser.parse_args()
    os.environ["NO_TORCH_COMPILE"] = "1"  # moshi compiles lazily, which needs a C compiler
    try:
        for stage in options.stages or STAGES:
            STAGES[stage](options.state)
    except EspeakMissing as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
