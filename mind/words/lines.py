"""The mind of kind `lines`: patterns → sentences. Pure."""

from collections.abc import Sequence

from mind.words.phrases import Phrase, words_of
from protocol.minds import FixedAnswer, LinesMind


class FixedAnswers:
    """The fixed answers of one persona in one room."""

    def __init__(self, config: LinesMind) -> None:
        """Read the patterns."""
        self._lines = config.lines
        self._phrases = [
            (phrase, number)
            for number, line in enumerate(config.lines)
            for phrase in map(Phrase, line.when)
        ]
        self._next = [0] * len(config.lines)
        self._last = ""

    def answer(self, words: str) -> str | None:
        """Return the sentence that answers a person's words; None: no pattern matches.

        The pattern with the most words decides, among equals the first in the file.
        """
        number = self._best(words_of(words))
        return None if number is None else self._say(number, self._lines[number])

    def _best(self, words: Sequence[str]) -> int | None:
        best, best_weight = None, 0
        for phrase, number in self._phrases:
            if phrase.weight > best_weight and phrase.matches(words):
                best, best_weight = number, phrase.weight
        return best

    def _say(self, number: int, line: FixedAnswer) -> str | None:
        if line.repeat:
            return self._last or None
        self._last = line.say[self._next[number] % len(line.say)]
        self._next[number] += 1
        return self._last
