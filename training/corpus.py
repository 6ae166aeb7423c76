"""The speech of the training corpus: the repertoire on the frame grid, and other people's.

The teacher makes the agents' speech and espeak-ng the people's: once. It is one file in the state
folder, never in git.
"""

import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from protocol.config.settings import PROJECT
from training.alignment import words_of
from training.espeak import Manner, speak
from training.phonemes import phonemes_of
from training.repertoire import PEOPLE, PEOPLES_VOICES, VOICES, AgentVoice, lines, voices_of
from training.sound import RATE_HZ, Pcm, whole_frames, without_silence
from training.teacher import Task
from worker.engine.conversation.loudness import at_loudness
from worker.frames import to_int16

LOUDNESS_LUFS = -22.0
FILE = "corpus.npz"
TEACHER = "var/teacher/venv/bin/python"
PEOPLE_PER_LINE = 6
FADE = 96  # samples: no click at either end


@dataclass(frozen=True, slots=True)
class Clip:
    """A sentence in an agent's voice, on the grid, or in a person's."""

    text: str
    voice: str  # an agent's, or espeak-ng's of a person
    pcm: Pcm  # [S] whole frames; a person's begins and ends with its speech
    words_s: tuple[float, ...]  # when each word begins


def agent_clip(text: str, voice: AgentVoice, said: Pcm) -> Clip:
    """Return a sentence that the teacher said on the grid, with the times of its words."""
    sound = whole_frames(_faded(at_loudness(said, RATE_HZ, LOUDNESS_LUFS)))
    return Clip(text, voice.name, sound, words_of(sound, text))


def person_clip(text: str, voice: str, rng: random.Random) -> Clip:
    """Return a sentence said as a person would, with any pitch and rate."""
    manner = Manner(voice, rng.randint(20, 80), rng.randint(20, 80), rng.randint(120, 200))
    pcm = without_silence(speak(text, manner))
    return Clip(text, voice, at_loudness(pcm, RATE_HZ, LOUDNESS_LUFS), ())


def _faded(pcm: Pcm) -> Pcm:
    faded = pcm.copy()
    ramp = np.linspace(0, 1, FADE, dtype=np.float32)
    faded[:FADE] *= ramp
    faded[-FADE:] *= ramp[::-1]
    return faded


def agents_speech(state: Path) -> Iterator[Clip]:
    """Return every sentence in the voices that say it, and each voice's introduction."""
    sentences = [(voice.introduction, voice) for voice in VOICES.values()]
    sentences += [(line.text, VOICES[name]) for line in lines() for name in voices_of(line)]
    tasks = [Task(phonemes_of(text), voice.style, voice.pulses) for text, voice in sentences]
    folder = state / "teacher"
    teach(tasks, folder)
    for (text, voice), task in zip(sentences, tasks, strict=True):
        yield agent_clip(text, voice, np.load(task.locked(folder)))


def teach(tasks: list[Task], folder: Path) -> None:
    """Let the teacher say all sentences, in its own environment."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = folder / "todo.json"
    todo.write_text(json.dumps([asdict(task) for task in tasks]), encoding="utf-8")
    subprocess.run([TEACHER, "-m", "training.teacher", todo], cwd=PROJECT, check=True)


def peoples_speech(seed: int = 7) -> Iterator[Clip]:
    """Return people's sentences, each in some of their voices."""
    rng = random.Random(seed)
    for text in PEOPLE:
        for voice in rng.sample(PEOPLES_VOICES, PEOPLE_PER_LINE):
            yield person_clip(text, voice, rng)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All speech."""

    agents: tuple[Clip, ...]
    people: tuple[Clip, ...]

    @property
    def seconds(self) -> tuple[float, float]:
        """Return the seconds of agents' and of people's speech."""
        agents, people = (
            sum(len(clip.pcm) for clip in clips) / RATE_HZ for clips in (self.agents, self.people)
        )
        return agents, people


def read_corpus(state: Path) -> Corpus:
    """Return the speech in the state folder; make it first if it is not there."""
    path = state / FILE
    if not path.exists():
        _write(path, Corpus(tuple(agents_speech(state)), tuple(peoples_speech())))
    with np.load(path, allow_pickle=False) as file:
        return Corpus(tuple(_clips(file, "agent")), tuple(_clips(file, "person")))


def _write(path: Path, corpus: Corpus) -> None:
    columns: dict[str, np.ndarray] = {}
    for kind, clips in (("agent", corpus.agents), ("person", corpus.people)):
        columns[f"{kind}_texts"] = np.array([clip.text for clip in clips])
        columns[f"{kind}_voices"] = np.array([clip.voice for clip in clips])
        columns[f"{kind}_lengths"] = np.array([len(clip.pcm) for clip in clips])
        columns[f"{kind}_counts"] = np.array([len(clip.words_s) for clip in clips])
        columns[f"{kind}_words"] = np.array([at for clip in clips for at in clip.words_s])
        sound = np.concatenate([clip.pcm for clip in clips])
        columns[f"{kind}_sound"] = to_int16(sound)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    np.savez(draft, **columns)
    draft.rename(path)


def _clips(file: "np.lib.npyio.NpzFile", kind: str) -> Iterator[Clip]:
    sound = file[f"{kind}_sound"].astype(np.float32) / 32767
    pieces = np.split(sound, np.cumsum(file[f"{kind}_lengths"])[:-1])
    words = np.split(file[f"{kind}_words"], np.cumsum(file[f"{kind}_counts"])[:-1])
    texts, voices = file[f"{kind}_texts"], file[f"{kind}_voices"]
    for text, voice, pcm, times in zip(texts, voices, pieces, words, strict=True):
        yield Clip(str(text), str(voice), pcm, tuple(map(float, times)))
