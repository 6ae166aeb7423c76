"""The seam between rooms and speech recognition: sound of one person in, that person's words out.

A host opens a `Listening` for each person who speaks and pushes a frame each tick. Recognition runs
elsewhere (`worker.hearing.whisper`): it may be late and may drop sound, but never keeps a host or
an engine step waiting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.wire import WordTime
from worker.engine.arrays import Pcm


@dataclass(frozen=True, slots=True)
class HeardWords:
    """A segment of a person's speech as it is known now; the latest of a `segment_id` holds.

    A segment has any number of interim versions and then one final version, which is its last. The
    text of a version may change words of the one before. Times are seconds of sound pushed since
    the listening was opened.
    """

    segment_id: str
    text: str  # the whole segment so far
    is_final: bool
    start_s: float
    end_s: float
    words: tuple[WordTime, ...] = ()  # none where their times are not known


OnWords = Callable[[HeardWords], None]
OnEnd = Callable[[], None]


def has_word(text: str) -> bool:
    """Return whether a text is more than marks: recognisers write them for coughs and music."""
    return any(map(str.isalnum, text))


class Listening(Protocol):
    """The recognition of one person's speech."""

    def push(self, pcm: Pcm) -> None:
        """Take the next frame, `[1920]` float32 at 24 kHz, silence included. Returns at once."""
        ...

    def close(self) -> None:
        """End the segment: `on_words` gets the rest of the words, perhaps some time later."""
        ...


class Recogniser(Protocol):
    """Recognizes the speech of any number of people. Called from any thread."""

    def open(self, on_words: OnWords, likely: str, on_end: OnEnd) -> Listening | None:
        """Start to listen to a person; None where no more people can be listened to.

        `on_words` is called on a thread of the recogniser and must return at once, as
        `on_end`, which is called after the last words of a listening that was closed. `likely`:
        sentences that the person may well say, for a recogniser that can use them.
        """
        ...
