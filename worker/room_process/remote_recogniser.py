"""The recogniser of the main process, for the rooms of this one."""

import itertools
import time
from collections.abc import Callable

from worker.engine.arrays import Pcm
from worker.hearing.recogniser import OnEnd, OnWords
from worker.room_process.asking import Asking
from worker.room_process.messages import (
    FromRooms,
    Listen,
    ListeningEnded,
    Sound,
    StopListening,
    Words,
)

ASK_AGAIN_S = 1.0  # after a refusal: rooms ask with each frame of a person


class RemoteRecogniser:
    """As `worker.hearing.recogniser.Recogniser`; callbacks on the thread that takes messages."""

    def __init__(
        self,
        post: Callable[[FromRooms], None],
        asking: Asking,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post, self._asking, self._clock = post, asking, clock
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[OnWords, OnEnd]] = {}
        self._ask_at_s = clock()

    def open(self, on_words: OnWords, likely: str, on_end: OnEnd) -> "RemoteListening | None":
        """Start to listen to a person; None: not now. Waits for the main process."""
        if self._clock() < self._ask_at_s:
            return None
        number = next(self._numbers)
        self._open[number] = on_words, on_end
        if self._asking.refusal(lambda call: Listen(call, number, likely)):
            del self._open[number]
            self._post(StopListening(number))  # it may have been opened, where no answer came
            self._ask_at_s = self._clock() + ASK_AGAIN_S
            return None
        return RemoteListening(number, self._post)

    def take(self, words: Words) -> None:
        """Pass words on."""
        if (callbacks := self._open.get(words.listening)) is not None:
            callbacks[0](words.words)

    def take_end(self, ended: ListeningEnded) -> None:
        """Pass on that the last words of a listening have come."""
        if (callbacks := self._open.pop(ended.listening, None)) is not None:
            callbacks[1]()


class RemoteListening:
    """One person's sound on its way to the main process."""

    def __init__(self, number: int, post: Callable[[FromRooms], None]) -> None:
        self._number, self._post = number, post

    def push(self, pcm: Pcm) -> None:
        """Pass on a frame, `[1920]` float32 at 24 kHz."""
        self._post(Sound(self._number, pcm if pcm.any() else None))

    def close(self) -> None:
        """Have what was pushed recognised."""
        self._post(StopListening(self._number))
