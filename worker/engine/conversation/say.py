"""A given text on its way into a slot's mouth, word by word. Pure: numbers in, a number out.

Paced as moshi 0.2.13 models/tts.py `StateMachine` paces words, because one token per frame comes
out garbled: a word begins where the model itself begins one, its tokens follow one per frame, and
then the model pads until it begins the next; limits hold on padding. The words begin at the
model's next pause, which is what `StateMachine` knows nothing of.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAUSE_FRAMES = 4  # 320 ms without a word of its own is a pause
PATIENCE_FRAMES = 125  # 10 s: who finds no pause by then is interrupted between two words
MOST_PADDING_FRAMES = 12  # twice `StateMachine.max_padding`: a comma may be a pause of 8
WORD_GAP_FRAMES = 1  # padding after each word, or a word's continuation counts as a new word

Words = Sequence[Sequence[int]]
Done = Callable[[bool], None]  # True: all of it was said; False: cut off, or dropped before


@dataclass(frozen=True, slots=True)
class WantedToken:
    """What a step's text is to be; `at_word`: only where the model begins a word itself."""

    token: int
    at_word: bool = False


class SpokenLine:
    """One text that is to be said; `wanted` before a step, `used` after it."""

    def __init__(self, words: Words, pad: int, end_of_pad: int, done: Done | None = None) -> None:
        self._words = deque(tuple(word) for word in words if word)
        self._pad, self._end_of_pad = pad, end_of_pad
        self._done = done
        self._waited = self._quiet = 0  # frames since it was asked for, and of the model's pause
        self._paused = False  # the pause has come
        self.begun = False  # a word of it was said
        self._padded = 0  # frames since the last word
        self._gap = 0  # frames of padding that are still due
        self._rest: deque[int] = deque()  # of the word that has begun

    @property
    def over(self) -> bool:
        """Whether every word was said."""
        return not self._words and not self._rest

    @property
    def wanted(self) -> WantedToken | None:
        """What the next step's text is to be; None: the model's own."""
        if not self._paused or self.over:
            return None
        if self._rest:
            return WantedToken(self._rest[0])
        if self._gap:
            return WantedToken(self._pad, at_word=True)  # the mark before the next word may stand
        if self._padded == MOST_PADDING_FRAMES:
            return WantedToken(self._end_of_pad)
        return WantedToken(self._words[0][0], at_word=self._padded < MOST_PADDING_FRAMES)

    def used(self, token: int) -> None:
        """Take notice of the text token that a step used."""
        if not self._paused:
            self._look_for_pause(token)
        elif self._rest:
            self._rest.popleft()
            self._end_word()
        elif token in (self._pad, self._end_of_pad):
            self._padded += 1
            self._gap = max(0, self._gap - 1)
        else:
            self.begun = True
            self._rest.extend(self._words.popleft()[1:])
            self._end_word()

    def end(self) -> None:
        """Tell who asked how it ended."""
        done, self._done = self._done, None
        if done is not None:
            done(self.over)

    def _look_for_pause(self, token: int) -> None:
        self._waited += 1
        self._quiet = self._quiet + 1 if token in (self._pad, self._end_of_pad) else 0
        self._paused = self._quiet >= PAUSE_FRAMES or self._waited >= PATIENCE_FRAMES

    def _end_word(self) -> None:
        if not self._rest:
            self._padded, self._gap = 0, WORD_GAP_FRAMES


def spell(text: str, encode: Callable[[str], list[int]], pieces: Sequence[str | None]) -> Words:
    """Split a text into the token ids of its words, without what the model cannot say."""
    words: list[list[int]] = []
    for token in encode(text):
        piece = pieces[token]
        if piece is None:
            continue
        if piece.startswith("▁") or not words:
            words.append([])
        words[-1].append(token)
    return words
