"""A frame of sound as numbers that can be told apart and played back: computed, not learned.

Its waveform: slices of 10 ms in a basis of their principal components, then the frame's 8 slices
in one of theirs; errors count more at high frequencies (`EMPHASIS`). Its loudness: of bands, as two
scales that saturate, one for soft sound and one for loud. All of it is a sum of products and an
ELU, so that `mimi.py` can write it down as weights of a Mimi. torch; any thread.
"""

import math
from dataclasses import dataclass

import torch

from training.codec_config import (
    BANDS,
    BLOCK,
    BLOCKS,
    FRAME_LOUDNESS,
    HALF_WAVE,
    HALVES,
    SLICE,
    SLICE_WAVE,
    SLICES,
    WAVE,
)
from training.sound import FRAME, RATE_HZ

EMPHASIS = 0.7
QUIETEST = 0.1  # the norm of a frame below which it counts no more
BANDS_HZ = (200, 450, 750, 1100, 1600, 2200, 3000, 4200, 6000, 8500)
LOUDNESS_GAIN = 300.0  # a tone of -50 dBFS reaches where the ELU bends
SATURATION = (1.0, 1 / 12)  # of the scale for soft sound, and of that for loud
PHASES = 4  # a band's cosine and sine, and both upside down


@dataclass(frozen=True, slots=True)
class Analysis:
    """The bases of slices, halves and frames."""

    slices: torch.Tensor  # [SLICE_WAVE, SLICE]
    halves: torch.Tensor  # [HALF_WAVE, 4 * SLICE_WAVE]
    frames: torch.Tensor  # [WAVE, 2 * HALF_WAVE]

    @staticmethod
    def of(sound: torch.Tensor) -> "Analysis":
        """Return the bases of speech `[T, FRAME]`; soft frames count almost as loud ones do."""
        sound = sound * evenness(sound)
        blocks = sound.reshape(-1, SLICE) @ emphasis().T
        slices = _principal(blocks, SLICE_WAVE)
        inner = (blocks @ slices.T).reshape(HALVES * len(sound), -1)
        halves = _principal(inner, HALF_WAVE)
        return Analysis(
            slices, halves, _principal((inner @ halves.T).reshape(len(sound), -1), WAVE)
        )

    def wave(self, sound: torch.Tensor) -> torch.Tensor:
        """Return the coordinates `[T, WAVE]` of frames `[T, FRAME]`."""
        inner = sound.reshape(-1, SLICE) @ emphasis().T @ self.slices.T
        halves = inner.reshape(HALVES * len(sound), -1) @ self.halves.T
        return halves.reshape(len(sound), -1) @ self.frames.T

    def sound(self, wave: torch.Tensor) -> torch.Tensor:
        """Return the frames `[T, FRAME]` of coordinates `[T, WAVE]`."""
        inner = (wave @ self.frames).reshape(-1, HALF_WAVE) @ self.halves
        return (inner.reshape(-1, SLICE_WAVE) @ self.slices @ plain().T).reshape(-1, FRAME)


def evenness(sound: torch.Tensor) -> torch.Tensor:
    """Return the factor `[T, 1]` by which each frame `[T, FRAME]` counts."""
    return (sound.norm(dim=1, keepdim=True).clamp(min=QUIETEST)) ** -0.5


def _principal(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """Return the first principal components `[count, D]` of vectors `[N, D]` around zero."""
    values, components = torch.linalg.eigh((vectors.T @ vectors).double())
    return components[:, values.argsort(descending=True)[:count]].T.float()


def emphasis() -> torch.Tensor:
    """Return the matrix `[SLICE, SLICE]` by which a slice's high frequencies count more."""
    return torch.eye(SLICE) - EMPHASIS * torch.diag(torch.ones(SLICE - 1), -1)


def plain() -> torch.Tensor:
    """Return the inverse of `emphasis`."""
    return torch.linalg.inv(emphasis().double()).float()


def filters() -> torch.Tensor:
    """Return filters of the bands `[BANDS * PHASES, 2 * BLOCK]`, 2 ms long, for amplitudes."""
    window = torch.hann_window(2 * BLOCK, periodic=False)
    time = torch.arange(2 * BLOCK) / RATE_HZ
    rows: list[torch.Tensor] = []
    for hz in BANDS_HZ[:BANDS]:
        angle = 2 * math.pi * hz * time
        for wave in (torch.cos(angle), torch.sin(angle)):
            wave = window * (wave - (window * wave).sum() / window.sum())
            wave = 2 * wave / window.sum()
            rows += [wave, -wave]
    return LOUDNESS_GAIN * torch.stack(rows)


def loudness(sound: torch.Tensor) -> torch.Tensor:
    """Return the loudness of bands by halves `[T, FRAME_LOUDNESS]` in (-1, 0] of `[T, FRAME]`."""
    blocks = torch.cat([torch.zeros(1, BLOCK), sound.reshape(-1, BLOCK)])
    pairs = torch.cat([blocks[:-1], blocks[1:]], dim=1)  # [80 T, 48]
    bent = torch.nn.functional.elu(pairs @ filters().T)
    level = bent.reshape(-1, BLOCKS // SLICES, BANDS, PHASES).mean(dim=(1, 3))  # [8 T, BANDS]
    scales = torch.cat([torch.expm1(-level * each) for each in SATURATION], dim=1)
    halves = scales.reshape(len(sound), HALVES, SLICES // HALVES, -1).mean(dim=2)
    return halves.reshape(len(sound), FRAME_LOUDNESS)
