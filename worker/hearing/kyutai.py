"""Recognition by Kyutai's model on the engine's own thread, as a `Recogniser` for rooms."""

from worker.engine.recognition.listeners import Recognition
from worker.hearing.recogniser import Listening, OnEnd, OnWords
from worker.hearing.segments import Segments


class KyutaiRecogniser:
    """A recogniser over the engine's second batch. Any thread."""

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition

    def open(self, on_words: OnWords, likely: str, on_end: OnEnd) -> Listening | None:
        """Start to listen to a person; None: every row is taken. `likely` is not used.

        `on_words` and `on_end` are called on the engine thread.
        """
        segments = Segments(self._recognition, on_words, on_end)
        return self._recognition.listeners.open(segments.take)
