"""The people whose speech one process of rooms has recognised. The thread of its channel."""

from collections.abc import Callable
from functools import partial

from worker.frames import SILENCE
from worker.hearing.recogniser import HeardWords, Listening, Recogniser
from worker.room_process.messages import (
    Answered,
    Listen,
    ListeningEnded,
    Sound,
    StopListening,
    ToRooms,
    Words,
)

ListeningMessage = Listen | Sound | StopListening
CANNOT = "no more people can be listened to"


class ServedListenings:
    """Passes sound to the recogniser, and posts words as they come, on the recogniser's thread."""

    def __init__(self, recogniser: Recogniser, post: Callable[[ToRooms], None]) -> None:
        self._recogniser, self._post = recogniser, post
        self._open: dict[int, Listening] = {}

    def take(self, message: ListeningMessage) -> None:
        """Carry out a message; one of a listening that is not open is ignored."""
        if isinstance(message, Listen):
            return self._listen(message)
        listening = self._open.get(message.listening)
        if listening is None:
            return
        if isinstance(message, Sound):
            listening.push(SILENCE if message.pcm is None else message.pcm)
        else:
            del self._open[message.listening]
            listening.close()

    def close(self) -> None:
        """End every listening: the process has ended."""
        for listening in self._open.values():
            listening.close()
        self._open.clear()

    def _listen(self, listen: Listen) -> None:
        number = listen.listening
        ended = partial(self._post, ListeningEnded(number))
        listening = self._recogniser.open(partial(self._pass_on, number), listen.likely, ended)
        if listening is not None:
            self._open[number] = listening
        self._post(Answered(listen.call, CANNOT if listening is None else ""))

    def _pass_on(self, number: int, words: HeardWords) -> None:
        self._post(Words(number, words))
