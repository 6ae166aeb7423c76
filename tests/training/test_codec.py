"""The pocket Moshi's codec, as computed and as written in Mimi's format: both are equal."""

from pathlib import Path

import numpy as np
import pytest
import torch
from moshi.models import loaders
from moshi.models.compression import MimiModel

from training.analysis import Analysis, loudness
from training.codebooks import Codebooks
from training.codec import CODEC_FILE, Codec, frames_of, nearest_sound, write_codec
from training.codec_config import CARD, CODEBOOKS, codec_config
from training.sound import FRAME, RATE_HZ, Pcm

FRAMES = 700
SILENT = np.zeros(4 * FRAME, np.float32)


def _sound(frames: int, seed: int = 0) -> Pcm:
    """Return tones that come and go, and some hiss."""
    chance = np.random.default_rng(seed)
    time = np.arange(frames * FRAME) / RATE_HZ
    hz = np.repeat(chance.integers(8, 100, size=(4, frames)) * 12.5, FRAME, axis=1)
    level = np.repeat(chance.uniform(0, 0.1, size=(4, frames)), FRAME, axis=1)
    sound = (level * np.sin(2 * np.pi * hz * time)).sum(axis=0)
    return (sound + 0.003 * chance.standard_normal(len(sound))).astype(np.float32)


@pytest.fixture(scope="module")
def codec() -> Codec:
    """Return a codec for that sound, with random codebooks of its scale."""
    sound = frames_of(_sound(FRAMES))
    analysis = Analysis.of(sound)
    wave, heard = analysis.wave(sound), loudness(sound)
    chance = torch.Generator().manual_seed(0)
    books: list[torch.Tensor] = []
    for n in range(CODEBOOKS - 1):
        book = torch.randn(CARD, wave.shape[1], generator=chance) * wave.std(dim=0) / 2**n
        book[0] = 0
        books.append(book)
    sounds = heard[torch.randint(len(heard), (CARD,), generator=chance)]
    sounds[0] = 0
    waves = Codebooks(books)
    codes = torch.cat([nearest_sound(heard, sounds)[:, None], waves.nearest(wave)], dim=1)
    return Codec(analysis, waves, sounds, (codes.T.numpy(),))


@pytest.fixture(scope="module")
def mimi(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> MimiModel:
    """Return the same codec, written to files and read by moshi."""
    folder: Path = tmp_path_factory.mktemp("codec")
    write_codec(codec, folder)
    return loaders.get_mimi(folder / CODEC_FILE, codec_config())


@torch.no_grad()
def test_mimi_decodes_the_computed_sound(codec: Codec, mimi: MimiModel) -> None:
    """moshi's decoder gives the computed sound, but for the rounding of weights."""
    codes = codec.spoken[0][:, :50]
    played = mimi.decode(torch.from_numpy(codes)[None])[0, 0].numpy()
    computed = codec.play(codes)

    assert np.abs(computed).max() > 0.05
    assert np.abs(played - computed).max() < 0.02 * np.abs(computed).max() + 0.002


@torch.no_grad()
def test_mimi_encodes_the_computed_codes(codec: Codec, mimi: MimiModel) -> None:
    """moshi's encoder gives 90 % of the computed codes; the others are near ties."""
    pcm = _sound(40, seed=1)
    heard = mimi.encode(torch.from_numpy(pcm)[None, None])[0].numpy()

    assert (heard == codec.hear(pcm))[:, 1:].mean() > 0.9


@torch.no_grad()
def test_silence_has_codes_of_zero(codec: Codec, mimi: MimiModel) -> None:
    """Silence is encoded as zeros, and zeros are decoded as silence."""
    heard = mimi.encode(torch.from_numpy(SILENT)[None, None])[0]
    assert not heard[:, 1:].any()

    played = mimi.decode(torch.zeros(1, CODEBOOKS, 4, dtype=torch.long))
    assert played.abs().max() < 1e-4


@torch.no_grad()
def test_mimi_streams_as_it_runs_at_once(codec: Codec, mimi: MimiModel) -> None:
    """Frame by frame the decoder gives what it gives for all frames together."""
    codes = torch.from_numpy(codec.spoken[0][:, :6])[None]
    whole = mimi.decode(codes)
    with mimi.streaming(1):
        parts = [mimi.decode(codes[:, :, n : n + 1]) for n in range(codes.shape[2])]

    assert torch.allclose(torch.cat(parts, dim=-1), whole, atol=1e-3)


def test_fitting_makes_the_error_of_codes_smaller() -> None:
    """Codebooks that were fitted together have 10 % less error than k-means of the residues."""
    vectors = torch.randn(600, 12, generator=torch.Generator().manual_seed(4))
    books = Codebooks.of(vectors, 3, 16)

    def error(codes: torch.Tensor) -> float:
        return float((vectors - books.decode(codes)).square().sum())

    before = error(books.nearest(vectors))
    after = error(books.fit(vectors, 3))
    assert after < 0.9 * before
    assert not any(book[0].any() for book in books.books)


def test_the_search_is_never_worse_than_the_first_choice(codec: Codec) -> None:
    """The search over several paths finds codes at least as near as one book after the other."""
    wave = codec.analysis.wave(frames_of(_sound(60, seed=2)))
    near, best = codec.waves.nearest(wave), codec.waves.best(wave)

    def error(codes: torch.Tensor) -> torch.Tensor:
        return (wave - codec.waves.decode(codes)).square().sum()

    assert error(best) <= error(near)
