"""Voices: PersonaPlex's own (`.pt`) and an operator's recordings (`.wav`), by name.

Every file is read once, before the model is ready, so a name in a request is looked up and never
becomes a path. Blocks while it reads.
"""

import io
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sphn
import torch

from protocol.errors import InvalidInput
from protocol.personas import VOICE_NAME, VOICE_SUFFIXES
from worker.engine.arrays import Pcm, Tokens
from worker.engine.conversation.loudness import at_loudness, loudness_lufs
from worker.engine.files.weight_files import what_it_points_to
from worker.frames import FRAME_SAMPLES, RATE_HZ

DEFAULT_VOICE = "NATF0"  # NVIDIA/personaplex 3428dfd
LOUDNESS_LUFS = -24.0  # of a voice prompt, ibid. lm.py `load_voice_prompt`
LONGEST_S = 15.0  # of a recording, which every prompt state begins with
NO_NUMBERS = "it holds NaN or infinity, which would make its personas mute; save it again"


@dataclass(frozen=True, slots=True)
class SavedVoice:
    """A voice as PersonaPlex saves it: embeddings of its positions, and the tokens after them."""

    embeddings: torch.Tensor  # [T, dim] of positions 0 to T - 1
    ring: Tokens  # [1 + n_q, R] tokens of positions from T on, by position modulo R


@dataclass(frozen=True, slots=True)
class RecordedVoice:
    """A voice as a recording."""

    pcm: Pcm  # [S] mono at the model's rate, at `LOUDNESS_LUFS`


Voice = SavedVoice | RecordedVoice


def read_voices(model: Path | None, operator: Path | None) -> dict[str, Voice]:
    """Read a model's voices (archive or folder) and an operator's; the operator's win.

    Raises `InvalidInput` that names the file.
    """
    if operator is not None and not operator.is_dir():
        raise InvalidInput(f"VOICES_DIR={str(operator)!r} is not a folder")
    voices: dict[str, Voice] = {}
    for source in (model, operator):
        if source is not None and source.exists():
            for path, content in _files(source):
                voices[path.stem] = _read(path, content)
    return dict(sorted(voices.items()))


def longest_of(voices: Mapping[str, Voice]) -> int:
    """Return the frames that the longest voice takes in a prompt; 0 without voices."""
    return max(map(_frames_of, voices.values()), default=0)


def _frames_of(voice: Voice) -> int:
    if isinstance(voice, SavedVoice):
        return len(voice.embeddings) + 1
    return -(-len(voice.pcm) // FRAME_SAMPLES)


def usual_voice(voices: Mapping[str, Voice]) -> str | None:
    """Return the voice of a persona that names none, or one that the model lacks."""
    return DEFAULT_VOICE if DEFAULT_VOICE in voices else next(iter(voices), None)


def _files(source: Path) -> Iterator[tuple[Path, bytes]]:
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if _is_voice(path):
                try:
                    content = path.read_bytes()
                except OSError as error:
                    expected = f"expected a file that this user may read: {error.strerror}"
                    raise InvalidInput(f"{path.name}: {expected}") from error
                yield path, content
        return
    try:
        with source.open("rb") as file:
            _refuse_pointer(source, file.read(1024))
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member) if _is_voice(Path(member.name)) else None
                if file is not None:
                    yield Path(member.name), file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidInput(f"{source}: not a whole tar archive of voices: {error}") from error


def _is_voice(path: Path) -> bool:
    return path.suffix.lower() in VOICE_SUFFIXES and not path.name.startswith(".")


def _read(path: Path, content: bytes) -> Voice:
    if not re.fullmatch(VOICE_NAME, path.stem):
        raise InvalidInput(f"{path.name}: a voice's name is letters, digits, - and _")
    _refuse_pointer(path, content)
    return (_saved if path.suffix.lower() == ".pt" else _recorded)(path, content)


def _refuse_pointer(path: Path, content: bytes) -> None:
    if pointer := what_it_points_to(content[:1024]):
        raise InvalidInput(f"{path.name}: {pointer}")


def _saved(path: Path, content: bytes) -> SavedVoice:
    try:
        saved: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        embeddings, ring = saved["embeddings"], saved["cache"]
        length, dim = embeddings.shape[0], embeddings.shape[-1]
        ring[0, 1, 0]  # three dimensions
        voice = SavedVoice(embeddings.reshape(length, dim), ring[0].long().numpy())
    except Exception as error:  # torch.load raises whatever its readers raise
        raise InvalidInput(
            f"{path.name}: not a voice of PersonaPlex, a dict of 'embeddings' [T, 1, 1, dim] "
            f"and 'cache' [1, 17, 4]: {error!s:.200}"
        ) from error
    if not bool(voice.embeddings.isfinite().all()):
        raise InvalidInput(f"{path.name}: {NO_NUMBERS}")
    return voice


def _decode(content: bytes) -> tuple[Pcm, int]:
    """Return samples `[channels, S]` and their rate; sphn reads only files."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        file.write(content)
        file.flush()
        return sphn.read(file.name)


def _recorded(path: Path, content: bytes) -> RecordedVoice:
    try:
        pcm, rate_hz = _decode(content)
    except Exception as error:  # sphn raises a bare exception for whatever it cannot read
        raise InvalidInput(f"{path.name}: not a sound file: {error!s:.200}") from error
    mono = pcm.mean(axis=0, dtype=np.float32)
    if rate_hz != RATE_HZ:
        mono = sphn.resample(mono, src_sample_rate=rate_hz, dst_sample_rate=RATE_HZ)
    if not np.isfinite(mono).all():
        raise InvalidInput(f"{path.name}: {NO_NUMBERS}")
    begin = mono[: int(LONGEST_S * RATE_HZ)]
    if loudness_lufs(begin, RATE_HZ) is None:
        raise InvalidInput(f"{path.name}: silence is no voice; {LONGEST_S:g} s of it are read")
    return RecordedVoice(at_loudness(begin, RATE_HZ, LOUDNESS_LUFS))
