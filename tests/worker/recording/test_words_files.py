"""The files of a part's words: whole at any moment, in order at the end."""

import json
import resource
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.config.settings import Settings
from protocol.recordings.names import new_part
from protocol.recordings.storage import open_storage
from protocol.recordings.words import whole_words
from worker.recording.transcript import Segment
from worker.recording.words_files import WordsFiles

STARTS_S = st.lists(st.floats(0.0, 40_000.0).map(lambda s: round(s, 3)), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PART = new_part("anyone", "5e55", 1, 1_800_000_000.0)


def said(start_s: float, text: str = "Soup?") -> Segment:
    """Return a segment that begins at a time."""
    return Segment(start_s, start_s + 1.0, "ann", "Ann", "", text)


@contextmanager
def begun(folder: Path) -> Generator[tuple[WordsFiles, Path, Path]]:
    """Begin the files in a folder; yield them with their paths."""
    json_, captions = folder / "words.json", folder / "words.vtt"
    with FileIO(json_, "w+b") as words, FileIO(captions, "w+b") as cues:
        yield WordsFiles(words, cues, {"room": "küche"}), json_, captions


def starts_of(words: dict[str, Any]) -> list[float]:
    """Return when each segment of words begins."""
    return [each["start_s"] for each in words["segments"]]


def cues_in(captions: Path) -> list[str]:
    """Return the starts of a WebVTT file's cues, as it writes them."""
    first, *cues = captions.read_text().rstrip("\n").split("\n\n")
    assert first == "WEBVTT"
    return [each.partition(" --> ")[0] for each in cues]


@given(STARTS_S, st.integers(1, 3))
def test_segments_are_in_order_at_the_end(starts_s: list[float], at_once: int) -> None:
    """Under way a segment comes when it has ended; at the end, when it began, in both files."""
    with tempfile.TemporaryDirectory() as folder, begun(Path(folder)) as (files, words, captions):
        for i in range(0, len(starts_s), at_once):
            files.add([said(each) for each in starts_s[i : i + at_once]], 0.08 * i)
            under_way = json.loads(words.read_bytes())
            assert starts_of(under_way) == starts_s[: i + at_once]
            assert len(cues_in(captions)) == len(starts_s[: i + at_once])
        files.finish(123.44)
        read = json.loads(words.read_bytes())
        assert (read["room"], read["duration_s"]) == ("küche", 123.44)
        assert starts_of(read) == sorted(starts_s)
        assert cues_in(captions) == sorted(cues_in(captions))
        assert {each.name for each in Path(folder).iterdir()} == {"words.json", "words.vtt"}


@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_words_that_are_read_in_the_middle_of_a_write_are_whole(
    texts: list[str], data: st.DataObject
) -> None:
    """Of words that were cut off anywhere, all segments before the cut are read."""
    with tempfile.TemporaryDirectory() as folder, begun(Path(folder)) as (files, words, _):
        shortest = words.stat().st_size
        for number, text in enumerate(texts):
            files.add([said(number, text)], 10.0 * number)
        content = words.read_bytes()
    cut = data.draw(st.integers(shortest, len(content)))

    read = json.loads(whole_words(content[:cut]))

    ends = [i for i, byte in enumerate(content[:cut]) if byte == ord("\n")]
    assert starts_of(read) == list(range(len(starts_of(read))))
    assert len(texts) >= len(read["segments"]) >= len(ends) - 2
    assert whole_words(content) == content


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """A segment that the disk has no room for raises `OSError`; the files are whole without it."""
    with begun(tmp_path) as (files, words, captions):
        files.add([said(1.0)], 2.0)
        before = words.read_bytes(), captions.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) + 20, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                files.add([said(2.0)], 4.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert (words.read_bytes(), captions.read_bytes()) == before


async def test_words_that_are_being_written_are_read_and_uploaded_whole(
    stored: Settings, tmp_path: Path
) -> None:
    """Storage gives whole words where the file ends in the middle of a segment."""
    with begun(tmp_path) as (files, words, _):
        files.add([said(1.0)], 2.0)
        files.add([said(2.0)], 4.0)
    words.write_bytes(words.read_bytes()[:-60])
    storage = open_storage(stored)
    if stored.record_s3_bucket:
        storage.upload(PART.key("json"), words)
    else:
        assert stored.record_dir is not None
        (stored.record_dir / PART.folder).mkdir(parents=True)
        words.rename(stored.record_dir / PART.key("json"))

    found = await storage.read(PART.key("json"))

    assert found is not None
    content = b"".join([each async for each in found.chunks])
    assert starts_of(json.loads(content)) == [1.0]
