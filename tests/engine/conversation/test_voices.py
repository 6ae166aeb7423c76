"""Voices: which files are voices, which are refused, and how loud they are."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import sphn
import torch

from protocol.errors import InvalidInput
from tests.engine import folders
from tests.engine.tiny import tiny_lm
from worker.engine.arrays import Pcm
from worker.engine.conversation.loudness import at_loudness, loudness_lufs
from worker.engine.conversation.voices import (
    LONGEST_S,
    RecordedVoice,
    SavedVoice,
    read_voices,
    usual_voice,
)

RATE_HZ = 24_000


def tone(seconds: float, rate_hz: int = RATE_HZ, hz: float = 997.0, level: float = 1.0) -> Pcm:
    """Return a sine."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def test_recordings_and_saved_voices_are_voices_by_their_names(tmp_path: Path) -> None:
    """Voices come from the model's archive and the operator's folder; other files are ignored."""
    mine = tmp_path / "mine"
    mine.mkdir()
    sphn.write_wav(str(mine / "anna.wav"), tone(1.0, 16_000), 16_000)
    (mine / "readme.md").write_text("about")
    (mine / "._anna.wav").write_text("what macOS leaves behind")
    (tmp_path / "bert.pt").write_bytes(folders.saved_voice(tiny_lm()))
    with tarfile.open(tmp_path / "voices.tgz", "w:gz") as archive:
        archive.add(tmp_path / "bert.pt", "voices/bert.pt")
    voices = read_voices(tmp_path / "voices.tgz", mine)

    assert list(voices) == ["anna", "bert"]
    anna, bert = voices["anna"], voices["bert"]
    assert isinstance(anna, RecordedVoice)
    assert isinstance(bert, SavedVoice)
    assert loudness_lufs(anna.pcm, RATE_HZ) == pytest.approx(-24.0, abs=0.1)
    assert abs(len(anna.pcm) - RATE_HZ) < 0.1 * RATE_HZ
    assert bert.embeddings.shape == (3, 32)
    assert bert.ring.shape == (17, 4)


def test_an_operators_voice_replaces_the_models(tmp_path: Path) -> None:
    """An operator's voice takes the place of the model's voice of the same name."""
    for folder in ("model", "operator"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "anna.pt").write_bytes(folders.saved_voice(tiny_lm()))
    sphn.write_wav(str(tmp_path / "operator" / "anna.wav"), tone(0.5), RATE_HZ)

    voices = read_voices(tmp_path / "model", tmp_path / "operator")
    assert isinstance(voices["anna"], RecordedVoice)


def test_a_long_recording_is_cut(tmp_path: Path) -> None:
    """Of a recording the first fifteen seconds are read."""
    sphn.write_wav(str(tmp_path / "anna.wav"), tone(16.0), RATE_HZ)
    anna = read_voices(None, tmp_path)["anna"]

    assert isinstance(anna, RecordedVoice)
    assert len(anna.pcm) == 15 * RATE_HZ


class Trap:
    """A pickle that would touch a file if it were run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("sprung"),)


def test_a_saved_voice_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved voice with anything but tensors is refused, and none of its code is run."""
    monkeypatch.chdir(tmp_path)
    torch.save({"embeddings": Trap(), "cache": torch.zeros(1)}, tmp_path / "anna.pt")

    with pytest.raises(InvalidInput, match=r"anna\.pt: not a voice of PersonaPlex"):
        read_voices(None, tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("anna.wav", r"anna\.wav: not a sound file"),
        ("anna.pt", r"anna\.pt: not a voice of PersonaPlex"),
        ("..anna.wav", None),
        ("an na.wav", r"an na\.wav: a voice's name is letters, digits, - and _"),
    ],
)
def test_files_that_are_no_voices(tmp_path: Path, name: str, message: str | None) -> None:
    """A broken or badly named file is refused by its name; a hidden one is ignored."""
    (tmp_path / name).write_bytes(b"nonsense")

    if message is None:
        assert read_voices(None, tmp_path) == {}
        return
    with pytest.raises(InvalidInput, match=message):
        read_voices(None, tmp_path)


def test_a_voice_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder with a voice's name, or a link that leads nowhere, is refused by its name."""
    (tmp_path / "anna.wav").symlink_to(tmp_path / "gone")

    with pytest.raises(
        InvalidInput, match=r"anna\.wav: expected a file that this user may read: No"
    ):
        read_voices(None, tmp_path)


def test_a_folder_of_voices_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A misspelled VOICES_DIR is refused: its voices were missing without a word."""
    with pytest.raises(InvalidInput, match=r"^VOICES_DIR='.*/voice' is not a folder"):
        read_voices(None, tmp_path / "voice")


def test_a_suffix_in_capitals_is_a_voices(tmp_path: Path) -> None:
    """A recording whose name ends in capitals, as some recorders write it, is a voice."""
    wave = np.sin(np.arange(RATE_HZ) / 9).astype(np.float32)
    sphn.write_wav(str(tmp_path / "anna.wav"), wave, RATE_HZ)
    (tmp_path / "anna.wav").rename(tmp_path / "anna.WAV")

    assert list(read_voices(None, tmp_path)) == ["anna"]


@pytest.mark.parametrize("later", [0.0, 0.5])
def test_silence_is_no_voice(tmp_path: Path, later: float) -> None:
    """A recording of silence is refused, also one in which somebody speaks after `LONGEST_S`."""
    silence = tone(LONGEST_S, level=1e-5)
    wave = np.concatenate([silence, tone(1.0, level=later)])
    sphn.write_wav(str(tmp_path / "anna.wav"), wave, RATE_HZ)

    with pytest.raises(InvalidInput, match=r"anna\.wav: silence is no voice"):
        read_voices(None, tmp_path)


def test_the_usual_voice_is_personaplexs_default_or_the_first() -> None:
    """The usual voice is PersonaPlex's default, else the first by name, else none."""
    voice = RecordedVoice(tone(0.1))

    assert usual_voice({"AAA": voice, "NATF0": voice}) == "NATF0"
    assert usual_voice({"AAA": voice}) == "AAA"
    assert usual_voice({}) is None


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_loudness_of_the_standards_tone(rate_hz: int) -> None:
    """A full-scale sine of 997 Hz in one channel has -3.01 LUFS (BS.1770-4)."""
    assert loudness_lufs(tone(5.0, rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.04)


def test_pauses_do_not_count_as_loudness() -> None:
    """Pauses do not lower the loudness of speech, and silence has none."""
    speech = tone(2.0)
    pause = tone(4.0, level=0.001)
    with_pause = np.concatenate([speech, pause])

    assert loudness_lufs(with_pause, RATE_HZ) == pytest.approx(-3.0, abs=0.5)
    assert loudness_lufs(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ) is None


def test_loudness_is_set_exactly() -> None:
    """A recording scaled to a loudness has that loudness; silence stays silence."""
    silence = np.zeros(100, dtype=np.float32)

    assert loudness_lufs(at_loudness(tone(3.0, level=0.02), RATE_HZ, -24.0), RATE_HZ) == (
        pytest.approx(-24.0, abs=0.01)
    )
    assert at_loudness(silence, RATE_HZ, -24.0) is silence
