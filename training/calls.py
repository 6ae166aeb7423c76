"""Conversations with the pocket Moshi in the engine alone, one with each persona at a time.

What a room adds (a network, gaps, a second person) is measured by `bench/talk.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import sphn

from protocol.config.settings import Settings
from protocol.personas import load_catalogue
from training.repertoire import PERSONA_VOICES
from training.sound import FRAME, FRAMES_PER_S, RATE_HZ, Pcm
from worker.engine.files import pocket
from worker.engine.model import Model

PERSONAS = tuple(PERSONA_VOICES)  # a slot for each
VOICED = 10 ** (-45 / 20)
HOP = RATE_HZ // 100

Loudspeaker = Callable[
    [int, Pcm], Pcm
]  # from a slot and the frame that it said to what its microphone hears


@dataclass
class Call:
    """The sound and words of one persona, frame by frame."""

    sound: list[Pcm] = field(default_factory=list[Pcm])
    words: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])  # frame, piece

    def text(self, first: int, last: int) -> str:
        """Return the words of these frames."""
        pieces = (piece for frame, piece in self.words if first <= frame < last)
        return "".join(pieces).replace("▁", " ").strip()

    def pcm(self, first: int, last: int) -> Pcm:
        """Return the sound of these frames."""
        return np.concatenate(self.sound[first:last])

    def voiced(self, first: int, last: int) -> np.ndarray:
        """Return which 10 ms of these frames sound."""
        pieces = self.pcm(first, last).reshape(-1, HOP)
        return np.sqrt(np.mean(pieces**2, axis=1)) > VOICED


class Calls:
    """A new call with each persona, none of which greets; `model` has a slot for each."""

    def __init__(self, model: Model, seed: int) -> None:
        self._model = model
        self.of = {name: Call() for name in PERSONAS}
        catalogue = load_catalogue(Settings().personas_dir)
        for slot, name in enumerate(PERSONAS):
            sampling = catalogue[name].sampling.model_copy(update={"seed": seed + slot})
            update = {"sampling": sampling, "greeting": False}
            model.step.join(slot, catalogue[name].model_copy(update=update))

    @property
    def frames(self) -> int:
        """Return how many frames have passed."""
        return len(self.of[PERSONAS[0]].sound)

    def hear(self, sound: Pcm, loudspeaker: Loudspeaker | None = None) -> None:
        """Let all slots hear this `[S]`, and each its own voice's echo, a frame later."""
        everybody = np.ones(len(PERSONAS), dtype=np.bool_)
        for frame in sound.reshape(-1, FRAME):
            heard = np.tile(frame, (len(PERSONAS), 1))
            if loudspeaker is not None and self.frames:
                for slot, call in enumerate(self.of.values()):
                    heard[slot] += loudspeaker(slot, call.sound[-1])
            out = self._model.step.run(heard, everybody)
            self._model.step.work(1.0)
            for slot, call in enumerate(self.of.values()):
                piece = self._model.pieces[out.text[slot]] if out.valid[slot] else None
                if piece:
                    call.words.append((len(call.sound), piece))
                silent = np.zeros(FRAME, np.float32)
                call.sound.append(out.pcm[slot] if out.valid[slot] else silent)


def recording(name: str) -> Pcm:
    """Return the recording of one of the model's voices `[S]`, in whole frames."""
    pcm, rate = sphn.read(str(pocket.FOLDER / "voices" / f"{name}.wav"))
    if rate != RATE_HZ:
        raise ValueError(f"voice {name}: {rate} Hz, expected {RATE_HZ}")
    return np.pad(pcm[0], (0, -len(pcm[0]) % FRAME))


def silence(seconds: float) -> Pcm:
    """Return so much silence `[S]`, whole frames."""
    return np.zeros(round(seconds * FRAMES_PER_S) * FRAME, np.float32)
