"""Thoughts of a language model in its text, between `<think>` and `</think>`. Pure.

Models that think (Qwen, DeepSeek) write them so where their server does not take them out. Some
write the end alone: their template has begun the thought for them.
"""

BEGIN, END = "<think>", "</think>"


class Thoughts:
    """Leaves thoughts out of the text of one answer, which streams in."""

    def __init__(self, *, is_begun: bool) -> None:
        """`is_begun`: the model writes no beginnings; what comes before the first end is thought.

        Where none comes, it was an answer after all: `finish` gives it.
        """
        self._is_within = self._may_be_answer = is_begun
        self._held = ""  # may be the beginning of a mark, or, where it may be answer, all
        self.lacks_beginning = is_begun

    def left_out(self, piece: str) -> str:
        """Add a piece of text; return what is no thought."""
        text, given = self._held + piece, ""
        while mark := self._next_mark(text):
            before, _, text = text.partition(mark)
            if mark == BEGIN:
                given += before
            elif not self._is_within:
                given, self.lacks_beginning = "", True
            self._is_within, self._may_be_answer = mark == BEGIN, False
        marks = (END,) if self._is_within else (BEGIN, END)
        begun = len(text) if self._may_be_answer else max(_begun(text, each) for each in marks)
        self._held = text[len(text) - begun :]
        return given if self._is_within else given + text[: len(text) - begun]

    def finish(self) -> str:
        """Return what was held back and is no thought: no more text comes."""
        held, self._held = self._held, ""
        return held if self._may_be_answer or not self._is_within else ""

    def _next_mark(self, text: str) -> str:
        marks = [END] if self._is_within else [BEGIN, END]
        return min((each for each in marks if each in text), key=text.index, default="")


def _begun(text: str, mark: str) -> int:
    """Return how many characters of a mark a text ends with; all of it never."""
    return next(n for n in range(len(mark) - 1, -1, -1) if text.endswith(mark[:n]))
