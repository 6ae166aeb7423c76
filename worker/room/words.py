"""Text tokens → words → segments, in frame time. Pure.

A segment is what a persona says between two pauses. Knows no room: `transcript.py` publishes.
"""

import re
import uuid
from dataclasses import dataclass

PAUSE_FRAMES = 10  # 0.8 s without text ends a segment; words inside a sentence are closer
SEGMENT_CHARACTERS = (
    240  # a longer one is closed at the next word, so that late joiners miss little
)
WORD_START = "\u2581"  # sentencepiece's mark for the space before a word
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class Added:
    """Text that came with one frame; the first of a segment opens it."""

    segment_id: str
    text: str
    so_far: str
    start_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment that is final. Times are seconds since the slot went live."""

    segment_id: str
    text: str
    start_s: float
    end_s: float


class Words:
    """Turns one slot's text tokens into segments. Called from one thread, a frame at a time."""

    def __init__(self, pieces: tuple[str | None, ...], frame_s: float) -> None:
        self._pieces = pieces
        self._frame_s = frame_s
        self._segment_id = ""
        self._text = ""
        self._bytes = b""
        self._first_index = 0
        self._last_index = 0

    def feed(self, token: int, index: int) -> list[Added | Closed]:
        """Take the text token of frame `index`; give what it changed."""
        piece = self._pieces[token] if 0 <= token < len(self._pieces) else None
        text = self._decode(piece) if piece is not None else ""
        if not text:
            return self._pause(index)
        changes: list[Added | Closed] = []
        if text.startswith(" ") and len(self._text) >= SEGMENT_CHARACTERS:
            changes += self.close()
        changes.append(self._add(text, index))
        return changes

    def close(self) -> list[Added | Closed]:
        """End the open segment, if there is one."""
        if not self._segment_id:
            return []
        closed = Closed(
            self._segment_id,
            self._text,
            round(self._first_index * self._frame_s, 3),
            round((self._last_index + 1) * self._frame_s, 3),
        )
        self._segment_id, self._text = "", ""
        return [closed]

    def _pause(self, index: int) -> list[Added | Closed]:
        return self.close() if index - self._last_index >= PAUSE_FRAMES else []

    def _add(self, text: str, index: int) -> Added:
        if not self._segment_id:
            self._segment_id = f"SG_{uuid.uuid4().hex[:12]}"
            self._first_index = index
            text = text.lstrip(" ") or text
        self._text += text
        self._last_index = index
        start_s = round(self._first_index * self._frame_s, 3)
        return Added(self._segment_id, text, self._text, start_s)

    def _decode(self, piece: str) -> str:
        """A piece's text; letters that sentencepiece spells as bytes wait until they are whole."""
        byte = BYTE_PIECE.fullmatch(piece)
        if byte is None:
            self._bytes = b""
            return piece.replace(WORD_START, " ")
        self._bytes += bytes.fromhex(byte[1])
        try:
            text = self._bytes.decode("utf-8")
        except UnicodeDecodeError:
            self._bytes = self._bytes[-3:]
            return ""
        self._bytes = b""
        return text
