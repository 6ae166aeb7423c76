"""Drafts of words: of a rewrite that a power cut broke off, nothing stays."""

import os
import time
from pathlib import Path

import pytest

from protocol.config.settings import Settings
from protocol.recordings.names import new_part
from protocol.recordings.storage import open_storage
from tests.conftest import SettingsFor
from tests.worker.recording.test_part import until
from tests.worker.recording.test_words_files import begun, said
from worker.recording.drafts import ABANDONED_S
from worker.recording.recordings import Recordings

OWNER = "anyone"
PART = new_part(OWNER, "5e55", 1, 1_800_000_000.0)
FOREIGN = (".notes.json", ".x.vtt", "..json")


class PowerCut(BaseException):
    """The end of a process."""


def drafts(folder: Path) -> list[str]:
    """Return the names of the hidden files of the part's session."""
    return sorted(each.name for each in (folder / PART.folder).glob(".*"))


@pytest.fixture
def folder(stored: Settings) -> Path:
    """Return the folder that holds parts, with both drafts of one and files that are not ours."""
    assert stored.record_dir is not None
    session = stored.record_dir / PART.folder
    session.mkdir(parents=True)
    for name in (f".{PART.part}.json", f".{PART.part}.vtt", *FOREIGN):
        (session / name).write_text("words")
    return stored.record_dir


def test_a_rewrite_that_breaks_off_leaves_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts of a power cut have the names by which they are found."""

    def cut(*_: object) -> None:
        raise PowerCut

    with begun(tmp_path) as (files, words, captions), pytest.raises(PowerCut):
        files.add([said(2.0), said(1.0)], 3.0)
        monkeypatch.setattr(Path, "replace", cut)
        files.finish(3.0)

    assert {each.name for each in tmp_path.glob(".*")} == {f".{words.name}", f".{captions.name}"}


def test_the_next_sweep_deletes_drafts_that_nobody_writes(stored: Settings, folder: Path) -> None:
    """Drafts of a part whose sound no process holds are deleted, and no foreign files."""
    (folder / PART.key("ogg")).touch()
    Recordings(stored).sweep()

    assert drafts(folder) == sorted(FOREIGN)


def test_a_draft_that_is_written_is_left_alone(stored: Settings, folder: Path) -> None:
    """A sweep leaves the drafts of a part that is still written, however old they are."""
    recordings, started = Recordings(stored), list[bool]()
    recordings.open(PART, {}, lambda: started.append(True), pytest.fail)
    until(lambda: bool(started))
    long_ago_s = time.time() - 2 * ABANDONED_S
    for name in drafts(folder):
        os.utime(folder / PART.folder / name, (long_ago_s, long_ago_s))
    Recordings(stored).sweep()
    left = drafts(folder)
    recordings.close()

    assert len(left) == 2 + len(FOREIGN)


@pytest.mark.parametrize(("age", "stay"), [(0.9, 2), (1.1, 0)])
def test_a_draft_without_its_part_goes_after_a_while(
    stored: Settings, folder: Path, age: float, stay: int
) -> None:
    """Of a recording that was deleted meanwhile, drafts are deleted once they are abandoned."""
    Recordings(stored, clock=lambda: time.time() + age * ABANDONED_S).sweep()

    assert len(drafts(folder)) == stay + len(FOREIGN)


async def test_the_deletion_of_a_recording_deletes_its_drafts(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    """An owner's deletion leaves no words in a draft."""
    stored = settings_for(record_dir=tmp_path)
    (tmp_path / PART.folder).mkdir(parents=True)
    for name in (f".{PART.part}.json", ".notes.json", f"{PART.part}.json"):
        (tmp_path / PART.folder / name).write_text("words")
    await open_storage(stored).delete(OWNER, PART.session)

    assert [each.name for each in (tmp_path / PART.folder).iterdir()] == [".notes.json"]
