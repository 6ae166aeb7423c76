"""A line on its way into a slot, word by word. Pure: numbers in, a number out.

Paced as moshi 0.2.13 models/tts.py `StateMachine` paces words, because one token per frame comes
out garbled: a word begins where the model itself begins one, its tokens follow one per frame, and
then the model pads until it begins the next, within limits. Unlike there, the line begins at the
model's next pause, and at once where the model has been at rest for long: it learned to be told so.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAUSE_FRAMES = 4  # 320 ms without a word of its own is a pause
PATIENCE_FRAMES = 125  # 10 s without a pause: the model is interrupted between two words
MOST_PADDING_FRAMES = 12  # twice `StateMachine.max_padding`: a comma may be a pause of 8
WORD_GAP_FRAMES = 1  # padding after each word, or a word's continuation counts as a new word

Words = Sequence[Sequence[int]]
Done = Callable[[bool], None]  # True: all of it was said; False: cut off, or dropped before


@dataclass(frozen=True, slots=True)
class ForcedFrame:
    """Tokens of a slot's next step; None: the model's own."""

    text: int | None = None
    at_word: bool = False  # `text` only where the model begins a word itself
    audio: tuple[int | None, ...] | None = None


UNFORCED = ForcedFrame()


class SpokenLine:
    """One text to say; read `frame` before a step, call `used` after it."""

    def __init__(
        self, words: Words, pad: int, end_of_pad: int, done: Done, rest_frames: int = 0
    ) -> None:
        """`rest_frames`: for so long the model has said no word before."""
        self._words = deque(tuple(word) for word in words if word)
        self._pad, self._end_of_pad = pad, end_of_pad
        self._done: Done | None = done
        self._waited = 0  # frames since it was asked for
        self._quiet = rest_frames  # frames of the model's pause
        self._paused = rest_frames >= PAUSE_FRAMES  # the pause has come
        self.begun = False  # a word of it was said
        # Frames since the last word, or since the pause had come.
        self._padded = min(max(0, rest_frames - PAUSE_FRAMES), MOST_PADDING_FRAMES)
        self._gap = 0  # frames of padding that are still due
        self._rest: deque[int] = deque()  # of the word that has begun

    @property
    def over(self) -> bool:
        """Whether every word was said."""
        return not self._words and not self._rest

    @property
    def frame(self) -> ForcedFrame:
        """The text that the next step is to use."""
        if not self._paused or self.over:
            return UNFORCED
        if self._rest:
            return ForcedFrame(self._rest[0])
        if self._gap:
            return ForcedFrame(self._pad, at_word=True)  # the mark before the next word may stand
        if self._padded == MOST_PADDING_FRAMES:
            return ForcedFrame(self._end_of_pad)
        return ForcedFrame(self._words[0][0], at_word=self._padded < MOST_PADDING_FRAMES)

    def used(self, token: int) -> None:
        """Record the text token that a step used."""
        if not self._paused:
            self._waited += 1
            self._quiet = self._quiet + 1 if self._is_padding(token) else 0
            self._paused = self._quiet >= PAUSE_FRAMES or self._waited >= PATIENCE_FRAMES
        elif self._rest:
            self._rest.popleft()
            self._end_word()
        elif self._is_padding(token):
            self._padded += 1
            self._gap = max(0, self._gap - 1)
        else:
            self.begun = True
            self._rest.extend(self._words.popleft()[1:])
            self._end_word()

    def end(self) -> None:
        """Call `done`, once."""
        done, self._done = self._done, None
        if done is not None:
            done(self.over)

    def _is_padding(self, token: int) -> bool:
        return token in (self._pad, self._end_of_pad)

    def _end_word(self) -> None:
        if not self._rest:
            self._padded, self._gap = 0, WORD_GAP_FRAMES


def spell(text: str, encode: Callable[[str], list[int]], pieces: Sequence[str | None]) -> Words:
    """Split a text into the token ids of its words, without pieces that the model cannot say."""
    words: list[list[int]] = []
    for token in encode(text):
        piece = pieces[token]
        if piece is None:
            continue
        if piece.startswith("▁") or not words:
            words.append([])
        words[-1].append(token)
    return words
