"""Which lines the pocket Moshi says well when it is told to: `python -m training.told`.

The model learned its lines as answers; told to say one in silence, it garbles some. This tells each
persona every line of its voice some times, with fixed seeds. A line goes into config.json
(`model_id.lines`) if a recogniser understood it each time and no word came later than it was
learned; any other line is refused. A late word is one that the model did not begin itself: `say`
forces it after its longest padding, and the rest is mostly garbled.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from protocol.config.settings import Settings
from protocol.personas import Persona, load_catalogue
from training.corpus import Corpus, read_corpus
from training.dialogue import spread
from training.ears import Ears, spelled
from training.repertoire import COMMON, PERSONA_VOICES, PERSONAS, Use, lines
from training.sound import FRAME, FRAMES_PER_S, Pcm
from worker.engine.files import pocket
from worker.engine.load import load_model
from worker.engine.model import Model

STATE = Path("var/pocket")
TRIALS = 3
WAIT_FRAMES, LONGEST_FRAMES = 8, 125  # before a line is told; until it must be over
AFTER_FRAMES = 10  # from the beginning of its last word to the end of its sound
LATE_FRAMES = 1  # that a word may be later than it was learned

Gaps = tuple[int, ...]  # frames from each word of a line to the next


@dataclass(slots=True)
class Attempt:
    """What a slot made of a line: frames of sound, text tokens, and where the line ended."""

    pcm: list[Pcm] = field(default_factory=list[Pcm])
    text: list[int] = field(default_factory=list[int])
    end: int | None = None

    def is_over(self) -> bool:
        """Return whether the line was said, and its sound has come."""
        return self.end is not None and len(self.pcm) > self.end + AFTER_FRAMES

    def sound(self) -> Pcm | None:
        """Return the line's sound; `None` if it was not said to its end."""
        if self.end is None:
            return None
        return np.concatenate(self.pcm[: self.end + 1 + AFTER_FRAMES])

    def gaps(self, pieces: Sequence[str | None]) -> Gaps:
        """Return the frames between the beginnings of the line's words."""
        spelling = [pieces[token] or "" for token in self.text[: (self.end or 0) + 2]]
        return _gaps([at for at, piece in enumerate(spelling) if piece.startswith("▁")])


class Rehearsal:
    """One slot for each persona; all personas are told a line of their own at the same time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._names = list(PERSONA_VOICES)
        self._catalogue = load_catalogue(Settings().personas_dir)

    def tell(self, texts: Mapping[str, str], seed: int) -> dict[str, Attempt]:
        """Tell each persona its line in a fresh call."""
        step, told = self._model.step, [Attempt() for _ in self._names]
        for slot, name in enumerate(self._names):
            step.join(slot, self._persona(name, seed))
        silence = np.zeros((len(told), FRAME), dtype=np.float32)
        for frame in range(WAIT_FRAMES + LONGEST_FRAMES):
            if frame == WAIT_FRAMES:
                for slot, name in enumerate(self._names):
                    step.say(slot, texts[name], _noting_the_end(told[slot]))
            out = step.run(silence, np.ones(len(told), dtype=np.bool_))
            for slot, each in enumerate(told):
                each.pcm.append(out.pcm[slot].copy())
                each.text.append(int(out.text[slot]))
            step.work(1.0)
            if all(each.is_over() for each in told):
                break
        return dict(zip(self._names, told, strict=True))

    def _persona(self, name: str, seed: int) -> Persona:
        persona = self._catalogue[name]
        sampling = persona.sampling.model_copy(update={"seed": seed})
        return persona.model_copy(update={"sampling": sampling, "greeting": False})


def texts_of(persona: str) -> list[str]:
    """Return every line that a persona's voice has learned."""
    uses = (*PERSONAS[persona].values(), *COMMON.values())
    return [text for texts in uses for text in texts]


def learned_gaps(corpus: Corpus) -> dict[tuple[str, str], Gaps]:
    """Return the frames between the words of each learned line, by voice and text."""
    return {
        (clip.voice, clip.text): _gaps(spread([int(at * FRAMES_PER_S) for at in clip.words_s]))
        for clip in corpus.agents
    }


def is_late(said: Gaps, learned: Gaps) -> bool:
    """Return whether a word came later after the one before it than it was learned."""
    return any(a > b + LATE_FRAMES for a, b in zip(said, learned, strict=False))


def said_well(model: Model, learned: Mapping[tuple[str, str], Gaps]) -> dict[str, list[str]]:
    """Return the lines by voice that were understood and in time in every trial.

    Greetings are there in any case: they were learned as told, and personas begin with them.
    """
    rehearsal, ears = Rehearsal(model), Ears([line.text for line in lines()])
    well: dict[str, list[str]] = {voice: [] for voice in PERSONA_VOICES.values()}
    for texts in _in_turn():
        trials = [rehearsal.tell(texts, seed) for seed in range(TRIALS)]
        for name, text in texts.items():
            voice = PERSONA_VOICES[name]
            told = [trial[name] for trial in trials]
            understood = sum(_understood(ears, each, text) for each in told)
            late = sum(is_late(each.gaps(model.pieces), learned[voice, text]) for each in told)
            if (understood == TRIALS and not late) or text in COMMON[Use.GREETING]:
                well[voice].append(text)
            sys.stderr.write(f"{understood} of {TRIALS} understood, {late} late, {name}: {text}\n")
    return {voice: list(dict.fromkeys(texts)) for voice, texts in well.items()}


def _in_turn() -> Iterator[dict[str, str]]:
    """Give each persona its next line until every persona has said all of its lines."""
    each_texts = {name: texts_of(name) for name in PERSONA_VOICES}
    for n in range(max(map(len, each_texts.values()))):
        yield {name: texts[n % len(texts)] for name, texts in each_texts.items()}


def _noting_the_end(told: Attempt) -> Callable[[bool], None]:
    def done(_whole: bool) -> None:
        told.end = len(told.pcm)

    return done


def _understood(ears: Ears, told: Attempt, text: str) -> bool:
    sound = told.sound()
    return sound is not None and spelled(ears.hear(sound) or "") == spelled(text)


def _gaps(frames: Sequence[int]) -> Gaps:
    return tuple(b - a for a, b in pairwise(frames))


def main() -> None:
    """Measure, and write the result into the shipped model's config.json."""
    learned = learned_gaps(read_corpus(STATE))
    settings = Settings(model=pocket.NAME, capacity=len(PERSONA_VOICES))
    model = load_model(settings, lambda line: None)
    path = pocket.FOLDER / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model_id"]["lines"] = said_well(model, learned)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
