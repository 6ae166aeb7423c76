"""One part of a recording: its files while it is written, at its end, and on a full disk."""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from protocol.recordings.names import PartName, new_part
from tests.conftest import SettingsFor
from tests.worker.recording.listening import channels, found_at_s
from worker.engine.arrays import Pcm
from worker.recording import part as part_module
from worker.recording.mix import RoomFrame
from worker.recording.part import PartWriter
from worker.recording.recordings import Recordings
from worker.recording.transcript import Segment

NAME = new_part("anyone", "5e55", 1, 1_800_000_000.0)
FRAMES = 50  # 4 s


def noise(seed: int, frames: int, rate_hz: int) -> Pcm:
    """Return noise below 4 kHz, which Opus keeps; each seed gives another one."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(frames * rate_hz * 8 // 100))
    spectrum[int(len(spectrum) * 4000 / (rate_hz / 2)) :] = 0
    wave = np.fft.irfft(spectrum)
    return (0.2 * wave / wave.std()).astype(np.float32)


class Outcome:
    """Whether a part has started, and the reasons why it ended early."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.reasons: list[str] = []


@contextmanager
def writing(folder: Path, name: PartName = NAME) -> Generator[tuple[PartWriter, Outcome]]:
    """Write a part; close it at the end."""
    outcome = Outcome()
    part = PartWriter(
        folder, name, {"session": "5e55"}, outcome.started.set, outcome.reasons.append
    )
    part.start()
    try:
        yield part, outcome
    finally:
        part.close()
        part.join(20.0)
        assert not part.is_open()


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_people_are_left_and_personas_right_at_their_times(tmp_path: Path) -> None:
    """Each sound is in its own channel at the time of its frames, and not in the other channel."""
    people = {1: 5, 2: 25}  # seed → first frame
    voices = {3: 10, 4: 30}
    heard = {seed: noise(seed, 10, 48_000).reshape(10, 3840) for seed in people}
    said = {seed: noise(seed, 10, 24_000).reshape(10, 1920) for seed in voices}
    with writing(tmp_path) as (part, outcome):
        for tick in range(FRAMES):
            left = [heard[each][tick - at] for each, at in people.items() if 0 <= tick - at < 10]
            right = [said[each][tick - at] for each, at in voices.items() if 0 <= tick - at < 10]
            part.put(RoomFrame(tuple(left), tuple(right)))
    assert outcome.started.is_set() and not outcome.reasons
    left_right = channels(tmp_path / NAME.key("ogg"))
    assert left_right.shape == (2, FRAMES * 3840)
    for seed, at in (people | voices).items():
        sound = heard[seed].reshape(-1) if seed in people else np.repeat(said[seed].reshape(-1), 2)
        own, other = left_right if seed in people else left_right[::-1]
        found_s, likeness = found_at_s(sound, own)
        assert abs(found_s - at * 0.08) < 0.01
        assert likeness > 0.8 > 0.1 > found_at_s(sound, other)[1]


def test_a_part_can_be_played_while_it_is_written(tmp_path: Path) -> None:
    """An open part already has all words, and all sound but for the last second."""
    with writing(tmp_path) as (part, _):
        for _ in range(FRAMES):
            part.put(RoomFrame((), (noise(1, 1, 24_000),)))
        part.add(Segment(0.5, 1.0, "agent-chef", "Chef", "chef", "Dinner"))
        captions = tmp_path / NAME.key("vtt")
        until(lambda: captions.exists() and "Dinner" in captions.read_text())
        now = channels(tmp_path / NAME.key("ogg"))
        words = json.loads((tmp_path / NAME.key("json")).read_text())
    assert now.shape[1] / 48_000 > FRAMES * 0.08 - 1.0
    assert [each["text"] for each in words["segments"]] == ["Dinner"]


def test_a_segment_of_a_long_part_costs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After hours of words the next segment has as few bytes written as the first ones."""
    monkeypatch.setattr(part_module, "WRITE_EVERY_S", 0.01)
    with writing(tmp_path) as (part, _):
        captions = tmp_path / NAME.key("vtt")

        def written_bytes(first: int, segments: int, at_once: int) -> int:
            """Add segments, some at a time; return how much the part's thread wrote."""
            before = bytes_written_by(part)
            for number in range(first, first + segments, at_once):
                for each in range(number, number + at_once):
                    part.add(Segment(each, each + 0.9, "ann", "Ann", "", f"Sentence {each}."))
                until(lambda last=f"Sentence {number + at_once - 1}.": last in tail_of(captions))
            return bytes_written_by(part) - before

        early = written_bytes(1000, 20, 1)
        written_bytes(2000, 5000, 5000)
        late = written_bytes(8000, 20, 1)
    assert late < 1.5 * early


def bytes_written_by(part: PartWriter) -> int:
    """Return how many bytes a part's thread has written until now."""
    thread = part._thread.native_id  # pyright: ignore[reportPrivateUsage]
    [written] = re.findall(r"wchar: (\d+)", Path(f"/proc/self/task/{thread}/io").read_text())
    return int(written)


def tail_of(path: Path) -> str:
    """Return the end of a text file, or nothing where there is none."""
    return path.read_bytes()[-1000:].decode() if path.exists() else ""


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """Only the account of the worker may read or write a part's files."""
    with writing(tmp_path) as (_, outcome):
        assert outcome.started.wait(20.0)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / NAME.folder).iterdir()}
    assert modes == {0o600}


def test_a_full_disk_ends_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part whose disk is full ends with the kernel's reason."""
    monkeypatch.setattr(part_module, "open_private", lambda *_: os.open("/dev/full", os.O_WRONLY))
    with writing(tmp_path) as (part, outcome):
        part.put(RoomFrame((), (noise(1, 1, 24_000),)))
        until(lambda: bool(outcome.reasons))
    assert outcome.reasons == ["No space left on device"]


def test_a_machine_without_a_further_thread_ends_the_part_alone(
    tmp_path: Path, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part for which there is no thread ends with that reason, and its room goes on."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    reasons: list[str] = []
    recordings = Recordings(settings_for(record_dir=tmp_path))
    part = recordings.open(NAME, {"session": "5e55"}, lambda: None, reasons.append)
    part.close()
    recordings.close()

    assert reasons == ["the machine allows no further thread"]


def test_a_recording_that_is_deleted_as_it_ends_stays_deleted(tmp_path: Path) -> None:
    """A part whose files were deleted while it was open writes no file at its end."""
    with writing(tmp_path) as (part, outcome):
        assert outcome.started.wait(20.0)
        for kind in ("ogg", "json", "vtt"):
            (tmp_path / NAME.key(kind)).unlink()
        part.add(Segment(0.5, 1.0, "ann", "Ann", "", "Hello"))
    assert not list((tmp_path / NAME.folder).iterdir())


def test_a_folder_that_vanishes_ends_the_part(tmp_path: Path) -> None:
    """A part whose folder is deleted under it ends with the reason: people saw it go on."""
    with writing(tmp_path) as (part, outcome):
        assert outcome.started.wait(20.0)
        shutil.rmtree(tmp_path / NAME.folder)
        part.put(RoomFrame((), (noise(1, 1, 24_000),)))
        until(lambda: bool(outcome.reasons))
    assert outcome.reasons == ["its files were deleted"]
