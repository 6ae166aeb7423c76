"""Questions to the main process whose asker waits for the answer: it comes within a millisecond."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future

from worker.room_process.messages import Answered, FromRooms

ANSWER_WITHIN_S = 2.0  # a main process that takes longer answers no heartbeat either
NO_ANSWER = "the engine's process does not answer"


class Asking:
    """Asks and waits. Any thread but the one that takes messages."""

    def __init__(self, post: Callable[[FromRooms], None]) -> None:
        self._post = post
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[str]] = {}

    def refusal(self, question: Callable[[int], FromRooms]) -> str:
        """Post the question that `question` makes of a call's number; return why not, or ""."""
        call, answer = next(self._numbers), Future[str]()
        self._waiting[call] = answer
        self._post(question(call))
        try:
            return answer.result(ANSWER_WITHIN_S)
        except TimeoutError:
            return NO_ANSWER
        finally:
            del self._waiting[call]

    def take(self, answered: Answered) -> None:
        """Take an answer, on the thread that takes messages."""
        if (answer := self._waiting.get(answered.call)) is not None:
            answer.set_result(answered.refusal)
