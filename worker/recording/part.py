"""Writes one part of a recording: the files of one host's room, on a thread of their own.

The room's loop hands over frames and segments and waits for nothing. Twice a second the thread
encodes what has come and has the disk keep it, so that a crash loses a second or two. A disk that
is full, or too slow, ends the part and not the call.
"""

import fcntl
import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from protocol.recordings.names import CAPTIONS, SOUND, WORDS, PartName
from worker.frames import FRAME_S
from worker.recording.mix import RoomFrame, StereoMix
from worker.recording.ogg import OggOpusFile
from worker.recording.private import open_private
from worker.recording.transcript import Segment
from worker.recording.words_files import WordsFiles

log = structlog.get_logger(__name__)

WRITE_EVERY_S = 0.5
WAITING_MOST = 750  # frames: a disk that is a minute behind does not catch up
TOO_SLOW = "the disk is too slow"
DELETED = "its files were deleted"
NO_THREAD = "the machine allows no further thread"


class PartWriter:
    """One part that is being written. `put`, `add` and `close` are called on the room's loop."""

    def __init__(
        self,
        folder: Path,
        name: PartName,
        about: dict[str, Any],
        on_started: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`about` is the head of the words. The callbacks come from the part's thread."""
        self.name = name
        self._paths = {kind: folder / name.key(kind) for kind in (SOUND, WORDS, CAPTIONS)}
        self._about = about
        self._on_started, self._on_failed = on_started, on_failed
        self.on_written: Callable[[], None] = _nothing  # while the part is open
        self.on_ended: Callable[[], None] = _nothing  # its files are whole, and still locked
        self._frames: SimpleQueue[RoomFrame] = SimpleQueue()
        self._segments: SimpleQueue[Segment] = SimpleQueue()
        self._closing = threading.Event()
        self._mix = StereoMix()
        self._written_frames = 0
        self._thread = threading.Thread(target=self._run, name=f"recording {name.part}")

    def start(self) -> None:
        """Start the thread, which makes the files."""
        try:
            self._thread.start()
        except RuntimeError:
            self._fail(OSError(None, NO_THREAD))

    def put(self, frame: RoomFrame) -> None:
        """Take the sound of the next tick; the part ends where too many frames wait."""
        if self._frames.qsize() <= WAITING_MOST:
            self._frames.put(frame)

    def add(self, segment: Segment) -> None:
        """Take words."""
        self._segments.put(segment)

    def close(self) -> None:
        """Have the thread write the waiting frames and segments, and end."""
        self._closing.set()

    def is_open(self) -> bool:
        """Return whether the thread still runs."""
        return self._thread.is_alive()

    def join(self, within_s: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(within_s)

    def _run(self) -> None:
        def opened(kind: str, mode: str) -> FileIO:
            return FileIO(self._paths[kind], mode, opener=open_private)

        try:
            self._paths[SOUND].parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with opened(SOUND, "xb") as sound:
                fcntl.flock(sound, fcntl.LOCK_EX)  # it is being written: see sound_lock.py
                with opened(WORDS, "w+b") as words, opened(CAPTIONS, "w+b") as captions:
                    self._write_part(sound, words, captions)
                self.on_ended()
        except OSError as error:
            self._fail(error)

    def _write_part(self, sound: FileIO, words: FileIO, captions: FileIO) -> None:
        try:
            self._write_until_closed(sound, WordsFiles(words, captions, self._about))
        except Exception as error:
            self._fail(error)

    def _write_until_closed(self, file: FileIO, words: WordsFiles) -> None:
        sound = OggOpusFile(file)
        self._on_started()
        while not self._closing.wait(WRITE_EVERY_S):
            self._write_waiting(sound, words)
            os.fdatasync(file.fileno())
            if os.fstat(file.fileno()).st_nlink == 0:
                raise OSError(None, DELETED)
            self.on_written()
        self._write_waiting(sound, words)
        sound.close()
        os.fdatasync(file.fileno())
        words.finish(self._duration_s)

    def _write_waiting(self, sound: OggOpusFile, words: WordsFiles) -> None:
        if self._frames.qsize() > WAITING_MOST:
            raise OSError(None, TOO_SLOW)
        for frame in _drained(self._frames):
            sound.write(self._mix.mix(frame))
            self._written_frames += 1
        if segments := _drained(self._segments):
            words.add(segments, self._duration_s)

    @property
    def _duration_s(self) -> float:
        return self._written_frames * FRAME_S

    def _fail(self, error: Exception) -> None:
        """Report why the part ends too early; an error that is none of the disk's is a fault."""
        reason = type(error).__name__
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        else:
            log.error("recording_failed", part=self.name.part, exc_info=error)
        log.warning("recording_ended", part=self.name.part, reason=reason)
        self._on_failed(reason)


def _nothing() -> None:
    pass


def _drained(queue: "SimpleQueue[Any]") -> list[Any]:
    found: list[Any] = []
    try:
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found
