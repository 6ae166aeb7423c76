"""Turns a model's text tokens into segments of words, in frame time. Pure.

A segment is what a persona says between two pauses. `transcript.py` publishes them.
"""

import re
from dataclasses import dataclass

from protocol.wire import WordTime, new_segment_id
from worker.frames import FRAME_S

PAUSE_FRAMES = 10  # 0.8 s without text ends a segment; words within a sentence are closer
SEGMENT_CHARACTERS = 240  # a longer segment ends at the next word: late joiners miss little
WORD_START = "\u2581"  # sentencepiece's mark for the space before a word
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class SegmentUpdate:
    """A segment as it is now. Times are seconds on the speaker's clock.

    A persona's clock begins when its slot goes live, that of all people when their room gets its
    host.
    """

    segment_id: str
    text: str  # the whole segment so far
    added: str  # by a persona's frame: the end of `text`; empty where the segment is final
    start_s: float
    end_s: float  # equal to `start_s` until the segment is final
    is_final: bool = False
    ago_ms: int = 0  # since a person began to say it: words are recognised later
    words: tuple[WordTime, ...] = ()  # of a person


class Words:
    """Collects one slot's text tokens. Called from one thread, a frame at a time."""

    def __init__(self, pieces: tuple[str | None, ...]) -> None:
        """`pieces`: the text of each token; None for padding and other control tokens."""
        self._pieces = pieces
        self._segment_id = ""
        self._text = ""
        self._bytes = b""
        self._first_index = 0
        self._last_index = 0
        self._sound_index = 0

    def feed(self, token: int, index: int, *, sounds: bool = False) -> list[SegmentUpdate]:
        """Take the text token of frame `index`; return the segments that it changed.

        `sounds`: the frame has a voice in it. A segment lasts as long as its last word sounds.
        """
        updates = self._take(token, index)
        self._sound_index = index if sounds else self._sound_index
        return updates

    def _take(self, token: int, index: int) -> list[SegmentUpdate]:
        piece = self._pieces[token] if 0 <= token < len(self._pieces) else None
        text = self._decode(piece) if piece is not None else ""
        if not text:
            return self.close() if index - self._last_index >= PAUSE_FRAMES else []
        is_full = text.startswith(" ") and len(self._text) >= SEGMENT_CHARACTERS
        closed = self.close() if is_full else []
        if not self._segment_id:
            text = text.lstrip(" ")  # which is all of a piece before a rare letter
        return [*closed, self._add(text, index)] if text else closed

    def close(self) -> list[SegmentUpdate]:
        """End the open segment, if there is one."""
        if not self._segment_id:
            return []
        final = self._update("", is_final=True)
        self._segment_id, self._text = "", ""
        return [final]

    def _add(self, text: str, index: int) -> SegmentUpdate:
        if not self._segment_id:
            self._segment_id = new_segment_id()
            self._first_index = index
        self._text += text
        self._last_index = index
        return self._update(text)

    def _update(self, added: str, *, is_final: bool = False) -> SegmentUpdate:
        start_s = round(self._first_index * FRAME_S, 3)
        last_index = max(self._last_index, self._sound_index)
        end_s = round((last_index + 1) * FRAME_S, 3) if is_final else start_s
        return SegmentUpdate(self._segment_id, self._text, added, start_s, end_s, is_final)

    def _decode(self, piece: str) -> str:
        """Return a piece's text; a letter that is spelled as bytes waits for its last byte."""
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
