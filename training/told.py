"""Which lines the pocket Moshi says well when it is told to: `python -m training.told`.

It learned its lines as answers; told to say one into a silence it garbles some. Each persona is
told every line of its voice some times, with fixed seeds, and a recogniser listens. What it hears
each time as it is written goes into config.json (`model_id.lines`); any other line is refused.
"""

import json
import sys
from functools import partial

import numpy as np

from protocol.config.settings import Settings
from protocol.personas import Persona, load_catalogue
from training.ears import Ears, spelled
from training.repertoire import COMMON, PERSONA_VOICES, PERSONAS, Use, lines
from training.sound import FRAME, Pcm
from worker.engine.files import pocket
from worker.engine.load import load_model
from worker.engine.model import Model

TRIALS = 3
WAIT_FRAMES, LONGEST_FRAMES = 8, 125  # before a line is told; until it must be over
AFTER_FRAMES = 10  # of its last word's beginning


def texts_of(persona: str) -> list[str]:
    """Give every line that a persona's voice has learned."""
    uses = (*PERSONAS[persona].values(), *COMMON.values())
    return [text for texts in uses for text in texts]


class Stage:
    """One slot for each persona, all told a line of their own at the same time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._who = list(PERSONA_VOICES)
        self._catalogue = load_catalogue(Settings().personas_dir)

    def _persona(self, name: str, seed: int) -> Persona:
        persona = self._catalogue[name]
        sampling = persona.sampling.model_copy(update={"seed": seed})
        return persona.model_copy(update={"sampling": sampling, "greeting": False})

    def _note(self, ends: dict[str, int], name: str, sound: list[Pcm], whole: bool) -> None:
        ends[name] = len(sound)

    def told(self, texts: dict[str, str], seed: int) -> dict[str, Pcm]:
        """Tell each persona its line in a fresh call; give the sound of each up to its end."""
        step, ends = self._model.step, dict[str, int]()
        for slot, name in enumerate(self._who):
            step.join(slot, self._persona(name, seed))
        sound: list[Pcm] = []
        for frame in range(WAIT_FRAMES + LONGEST_FRAMES):
            if frame == WAIT_FRAMES:
                for slot, name in enumerate(self._who):
                    step.say(slot, texts[name], partial(self._note, ends, name, sound))
            silence = np.zeros((len(self._who), FRAME), dtype=np.float32)
            sound.append(step.run(silence, np.ones(len(self._who), dtype=np.bool_)).pcm)
            step.work(1.0)
            if len(ends) == len(self._who) and frame > max(ends.values()) + AFTER_FRAMES:
                break
        return {
            name: np.concatenate([pcm[slot] for pcm in sound[: ends[name] + 1 + AFTER_FRAMES]])
            for slot, name in enumerate(self._who)
            if name in ends
        }


def said_well(model: Model) -> dict[str, list[str]]:
    """Give the lines by voice that were understood in every trial."""
    stage, ears = Stage(model), Ears([line.text for line in lines()])
    well: dict[str, list[str]] = {voice: [] for voice in PERSONA_VOICES.values()}
    each_texts = {name: texts_of(name) for name in PERSONA_VOICES}
    for n in range(max(map(len, each_texts.values()))):
        texts = {name: texts[n % len(texts)] for name, texts in each_texts.items()}
        heard = [stage.told(texts, seed) for seed in range(TRIALS)]
        for name, text in texts.items():
            sounds = [trial.get(name) for trial in heard]
            right = [
                sound is not None and spelled(ears.hear(sound) or "") == spelled(text)
                for sound in sounds
            ]
            if all(right) or text in COMMON[Use.GREETING]:  # they were learned as told
                well[PERSONA_VOICES[name]].append(text)
            sys.stderr.write(f"{sum(right)} of {TRIALS} {name}: {text}\n")
    return well


def main() -> None:
    """Measure, and write the result into the shipped model's config.json."""
    settings = Settings(model=pocket.NAME, capacity=len(PERSONA_VOICES))
    model = load_model(settings, lambda line: None)
    path = pocket.FOLDER / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model_id"]["lines"] = said_well(model)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
