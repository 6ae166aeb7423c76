"""The mind of kind `lines`: patterns → sentences. Pure."""

from collections import deque
from collections.abc import Sequence

from mind.words.phrases import Phrase, words_of
from protocol.minds import FixedAnswer, LinesMind

WORDS_KEPT = 100  # that the persona said last; its longest sentence has fewer
TURNS_KEPT = 3  # of a person whom nothing has answered


class FixedAnswers:
    """The fixed answers of one persona in one room."""

    def __init__(self, config: LinesMind, greeting: str = "") -> None:
        """Read the patterns."""
        self._lines = config.lines
        self._phrases = [
            (phrase, number)
            for number, line in enumerate(config.lines)
            for phrase in map(Phrase, line.when)
        ]
        known = [greeting, *(sentence for line in config.lines for sentence in line.say)]
        self._known = {tuple(words_of(each)): each for each in known if each}
        self._next = [0] * len(config.lines)
        self._said: deque[str] = deque(maxlen=WORDS_KEPT)
        self._last = ""  # sentence that the persona said
        self._asked: deque[tuple[str, str]] = deque(maxlen=TURNS_KEPT)  # by whom, since then

    def said(self, words: str) -> None:
        """Take what the persona said, by itself or told to; a sentence may come in pieces.

        With no words it has begun to say something: what was asked before is answered.
        """
        self._asked.clear()
        self._said += words_of(words)
        heard = tuple(self._said)
        for sentence, text in self._known.items():
            if heard[-len(sentence) :] == sentence:
                self._last = text

    def answer(self, words: str, person: str = "") -> str | None:
        """Return the sentence that answers a person's words; None: no pattern matches.

        The pattern with the most words decides, among equals the first in the file. What the same
        person said before counts while the persona has said nothing: who pauses within a question,
        or adds to it, is to be answered.
        """
        if any(each != person for each, _ in self._asked):
            self._asked.clear()
        self._asked.append((person, words))
        number = self._best(words_of(" ".join(text for _, text in self._asked)))
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
        self._next[number] += 1
        return line.say[(self._next[number] - 1) % len(line.say)]
