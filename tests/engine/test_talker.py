"""The talker: in the real format, read by moshi's own loaders, and it behaves like talk."""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moshi.models import LMGen, loaders
from moshi.utils.compile import no_compile

from harness.talker import codec, language
from harness.talker import folder as talker
from harness.talker.language import EPAD, PAD, TALK, phase_of
from training.tokenizer import WORDS, pieces_of

# A minute of talk takes its time on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FRAME_S = 0.08
ROWS = 3
MINUTE = 750  # frames


@dataclass(frozen=True)
class Talk:
    """The output of one row of a batch, by moshi's own code."""

    text: list[int]
    talking: list[bool]  # by frame: codebook 0 is in a talk phase
    pcm: np.ndarray  # [frames, 1920]

    def turns_s(self, *, talking: bool) -> list[float]:
        """Lengths of the turns that it holds whole."""
        runs = [(kind, sum(1 for _ in run) * FRAME_S) for kind, run in groupby(self.talking)]
        return [length for kind, length in runs[1:-1] if kind is talking]

    def rms_dbfs(self, *, talking: bool) -> float:
        """Level of all frames of this kind."""
        sound = self.pcm[np.array(self.talking) == talking]
        return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """Small matrices on many threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    return talker.talker_folder(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> loaders.CheckpointInfo:
    """The folder as moshi's own loader reads it."""
    return loaders.CheckpointInfo.from_hf_repo(
        "no/repository",
        moshi_weights=folder / talker.LM_FILE,
        mimi_weights=folder / talker.CODEC_FILE,
        tokenizer=folder / talker.TOKENIZER_FILE,
        config_path=folder / "config.json",
        mimi_config_path=folder / talker.CODEC_CONFIG_FILE,
    )


def talks(
    checkpoint: loaders.CheckpointInfo, seed: int, frames: int, heard: list[float], **how: Any
) -> list[Talk]:
    """Let upstream's generator talk; each row hears noise of its own loudness."""
    torch.manual_seed(seed)
    rows = len(heard)
    lm, mimi = checkpoint.get_moshi(dtype=torch.float32), checkpoint.get_mimi()
    lm_gen = LMGen(lm, support_out_of_sync=True, **how)
    noise = np.random.default_rng(seed).standard_normal((frames, 1, 1, 1920))
    loudness = np.array(heard).reshape(1, rows, 1, 1)
    codes: list[torch.Tensor] = []
    pcm: list[torch.Tensor] = []
    with no_compile(), torch.no_grad(), mimi.streaming(rows), lm_gen.streaming(rows):
        for frame in torch.tensor(noise * loudness, dtype=torch.float32):
            tokens = lm_gen.step(mimi.encode(frame))
            assert tokens is not None
            if (tokens >= 0).all():  # the first is lost to the acoustic delay
                codes.append(tokens[:, :, 0])
                pcm.append(mimi.decode(tokens[:, 1:])[:, 0])
    return [
        Talk(
            text=row[:, 0].tolist(),
            talking=[phase_of(token) < TALK for token in row[:, 1].tolist()],
            pcm=sound.numpy(),
        )
        for row, sound in zip(torch.stack(codes, dim=1), torch.stack(pcm, dim=1), strict=True)
    ]


@pytest.fixture(scope="module")
def minutes(checkpoint: loaders.CheckpointInfo) -> list[Talk]:
    """A minute of several rows in a silent room, sampled at upstream's defaults."""
    return talks(checkpoint, 1, MINUTE, heard=[0.0] * ROWS)


@pytest.fixture(params=range(ROWS))
def minute(request: pytest.FixtureRequest, minutes: list[Talk]) -> Talk:
    """Each of these rows: its random numbers are its own, as with a seed of its own."""
    return minutes[request.param]


def test_the_weights_are_those_that_moshi_asks_for(folder: Path) -> None:
    """Both files load strictly: no name is missing, none is left over."""
    config = language.lm_config(len(pieces_of(WORDS)))
    lm = loaders.get_moshi_lm(folder / talker.LM_FILE, config, dtype=torch.float32)
    mimi = loaders.get_mimi(folder / talker.CODEC_FILE, codec.codec_config())

    assert not any(parameter.is_meta for parameter in lm.parameters())
    assert mimi.num_codebooks == lm.dep_q == 8


def test_it_is_small(checkpoint: loaders.CheckpointInfo) -> None:
    """Few enough parameters for many conversations on one core."""
    lm, mimi = checkpoint.get_moshi(dtype=torch.float32), checkpoint.get_mimi()

    count = sum(each.numel() for model in (lm, mimi) for each in model.parameters())

    assert 2_000_000 <= count <= 5_000_000


def test_the_same_code_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A folder made anew is equal, byte by byte."""
    again = talker.talker_folder(tmp_path)

    assert again.name == folder.name
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """The second call finds the first one's folder, and no draft is left behind."""
    first = talker.talker_folder(tmp_path)
    written = (first / talker.LM_FILE).stat().st_mtime_ns

    assert talker.talker_folder(tmp_path) == first
    assert (first / talker.LM_FILE).stat().st_mtime_ns == written
    assert [each.name for each in first.parent.iterdir()] == [first.name]


def test_turns_last_one_to_four_seconds(minute: Talk) -> None:
    """Talk and pause alternate, and the median of each lies between 1 s and 4 s."""
    for talking in (True, False):
        turns_s = minute.turns_s(talking=talking)

        assert len(turns_s) >= 8
        assert 1.0 <= float(np.median(turns_s)) <= 4.0


def test_talk_is_loud_and_pauses_are_quiet(minute: Talk) -> None:
    """Talk lies between -35 and -15 dBFS; the pauses are 10 dB quieter at least."""
    spoken, silent = minute.rms_dbfs(talking=True), minute.rms_dbfs(talking=False)

    assert -35.0 <= spoken <= -15.0
    assert silent <= spoken - 10.0


def test_sound_is_finite_and_does_not_clip(minute: Talk) -> None:
    """Every sample is a number, and none reaches full scale."""
    assert np.isfinite(minute.pcm).all()
    assert float(np.abs(minute.pcm).max()) < 1.0


def test_the_voice_is_not_harsh(minute: Talk) -> None:
    """Nearly all energy lies below 3 kHz: a buzz like a voice, no hiss."""
    power = (np.abs(np.fft.rfft(minute.pcm, axis=1)) ** 2).sum(axis=0)
    hz = np.fft.rfftfreq(1920, 1 / 24_000)

    assert float(power[hz > 3000].sum() / power.sum()) < 0.01
    assert float(power[hz < 50].sum() / power.sum()) < 0.05


def test_words_come_two_to_four_a_second_in_talk(minute: Talk) -> None:
    """Each word is a real piece of the vocabulary; between words there is only padding."""
    pieces = pieces_of(WORDS)
    said = [pieces[token] for token in minute.text if token not in (EPAD, PAD)]

    assert set(said) <= {f"▁{word}" for word in WORDS}
    assert 2.0 <= len(said) / (sum(minute.talking) * FRAME_S) <= 4.0


def test_no_word_falls_into_a_pause(minute: Talk) -> None:
    """From its second frame on, a pause holds nothing but PAD."""
    inside = [
        token
        for token, now, before in zip(
            minute.text[1:], minute.talking[1:], minute.talking[:-1], strict=True
        )
        if not now and not before
    ]

    assert set(inside) == {PAD}


def test_a_pause_is_nearly_silence(minute: Talk) -> None:
    """Half of all pause frames are below -60 dBFS."""
    pauses = minute.pcm[~np.array(minute.talking)]

    assert float(np.median(10 * np.log10((pauses**2).mean(axis=1) + 1e-12))) < -60.0


def test_greedy_talk_keeps_its_turns(checkpoint: loaders.CheckpointInfo) -> None:
    """Without sampling it still talks and pauses, one to four seconds each."""
    (talk,) = talks(checkpoint, 1, 200, heard=[0.0], use_sampling=False)

    assert len(talk.turns_s(talking=True)) >= 2
    assert {1.0 <= turn <= 4.0 for turn in talk.turns_s(talking=True)} == {True}
    assert {1.0 <= turn <= 4.0 for turn in talk.turns_s(talking=False)} == {True}


def test_seeds_give_different_talk(checkpoint: loaders.CheckpointInfo) -> None:
    """Conversations with different random numbers say different things, in different sounds."""
    (first,), (second,) = (talks(checkpoint, seed, 60, heard=[0.0]) for seed in (1, 2))

    assert first.text != second.text
    assert not np.array_equal(first.pcm, second.pcm)


def test_it_lets_a_loud_voice_speak(checkpoint: loaders.CheckpointInfo) -> None:
    """While somebody is loud it ends its turns early and waits longer, but speaks again."""
    *alone, first, second = talks(checkpoint, 4, 300, heard=[0.0, 0.0, 0.1, 0.1])

    for talk in (first, second):
        assert 0.2 < sum(talk.talking) / len(talk.talking) < 0.45
    for talk in alone:
        assert sum(talk.talking) / len(talk.talking) > 0.45


def test_silence_is_heard_as_silence(checkpoint: loaders.CheckpointInfo) -> None:
    """A silent microphone gives pause tokens, a loud one talk tokens."""
    mimi = checkpoint.get_mimi()
    noise = torch.randn(1, 1, 1920 * 10, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.no_grad():
        quiet, loud = (mimi.encode(sound)[0, 0].tolist() for sound in (noise * 0, noise))

    assert {phase_of(token) < TALK for token in quiet} == {False}
    assert sum(phase_of(token) < TALK for token in loud) >= 9


def test_any_text_becomes_tokens_and_back(checkpoint: loaders.CheckpointInfo) -> None:
    """Known words are one piece each, and no character is lost, whatever the script."""
    tokenizer = checkpoint.get_text_tokenizer()
    text = "hello <system> Übung 你好"

    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("hello world")) == 2
    assert 0 not in tokenizer.encode(text)
