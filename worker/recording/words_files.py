"""The words of one part on the disk, as JSON and as WebVTT. One thread; calls may raise `OSError`.

Both files grow by what is new, however long they are, and are whole after each call. In their order
a segment comes when it has ended; at the end of the part both are written once more, by the times
at which segments began: a long one ends after a short one that began later.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from protocol.recordings.words import (
    first_line,
    last_line,
    next_lines,
    segment_line,
    segment_lines,
)
from worker.recording.drafts import replacing
from worker.recording.transcript import WEBVTT, Segment, cues, entry

SEGMENTS_AT_ONCE = 500  # as a part ends: other threads of the worker go on between them


class WordsFiles:
    """The files of words that one part has open."""

    def __init__(self, words: FileIO, captions: FileIO, about: dict[str, Any]) -> None:
        """Begin both files, `about` is the head of the JSON."""
        self._words, self._captions = _GrowingFile(words), _GrowingFile(captions)
        self._first_line = first_line(about)
        self._is_empty = self._is_in_order = True
        self._latest_start_s = 0.0
        self._words.append(self._first_line, last_line(0.0))
        self._captions.append(WEBVTT.encode())

    def add(self, segments: Sequence[Segment], duration_s: float) -> None:
        """Append segments; `duration_s` is that of the sound."""
        entries = [entry(each) for each in segments]
        lines = next_lines(map(segment_line, entries), are_first=self._is_empty)
        self._words.append(lines, last_line(duration_s))
        self._captions.append(cues(entries).encode())
        self._is_empty = False
        for each in segments:
            self._is_in_order &= each.start_s >= self._latest_start_s
            self._latest_start_s = max(self._latest_start_s, each.start_s)

    def finish(self, duration_s: float) -> None:
        """Put all segments in order, and note how long the sound has become."""
        self._words.append(b"", last_line(duration_s))
        if self._is_in_order or self._words.is_deleted:
            return
        lines = sorted(segment_lines(self._words.read_lines()), key=_start_of)
        with replacing(self._words.path) as words, replacing(self._captions.path) as captions:
            words.write(self._first_line)
            captions.write(WEBVTT.encode())
            for i in range(0, len(lines), SEGMENTS_AT_ONCE):
                some = lines[i : i + SEGMENTS_AT_ONCE]
                words.write(next_lines(some, are_first=i == 0))
                captions.write(cues(map(json.loads, some)).encode())
            words.write(last_line(duration_s))


class _GrowingFile:
    """A file to which bytes are added in place of its last ones."""

    def __init__(self, file: FileIO) -> None:
        self._file, self.path = file, Path(str(file.name))
        self._size, self._last = 0, b""

    def append(self, content: bytes, last: bytes = b"") -> None:
        """Add bytes in place of the last ones, and new last ones; have the disk keep them."""
        try:
            self._write(content + last)
        except OSError:  # a full disk: there was room for what was there
            with suppress(OSError):
                self._write(self._last)
                self._file.truncate(self._size + len(self._last))
            raise
        self._size, self._last = self._size + len(content), last
        os.fdatasync(self._file.fileno())

    @property
    def is_deleted(self) -> bool:
        return os.fstat(self._file.fileno()).st_nlink == 0

    def read_lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file.readall().split(b"\n"))

    def _write(self, content: bytes) -> None:
        at = self._size
        while content:
            written = os.pwrite(self._file.fileno(), content, at)
            content, at = content[written:], at + written


def _start_of(line: bytes) -> float:
    return json.loads(line)["start_s"]
