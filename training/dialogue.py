"""Full-duplex dialogues, composed as tokens from clips that were encoded once. Pure: numpy.

A person speaks. The agent answers 320 to 480 ms after the person's turn is over, says a word while
the person speaks on for long, stops a frame after the person speaks over it, asks once whether the
person is still there, and is quiet otherwise. Coughs, clicks, noise that comes and goes and the
agent's own voice out of a loudspeaker make it neither speak nor stop.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.codec import HeardCodes, Place
from training.repertoire import Use
from training.sound import Codes
from training.words import EPAD, PAD
from worker.engine.conversation.say import WORD_GAP_FRAMES

ANSWERS = (4, 6)  # frames from the end of a turn to the answer: at least, at most
STOP = 1  # frames that the agent speaks on, from the one in which a person speaks over it
GAPS = (4, 40)  # frames from the end of the agent's answer to the person's next turn
PAUSES = (1, 3)  # frames within a person's turn
TOLD = (4, 16)  # frames of silence before a line that the agent is told to say
STILL = (150, 190)  # frames of silence until the agent asks
LONG = 42  # frames that make a turn a long one
CUT_SHARE = 0.35  # of answers that a person speaks over
GUST_OVER_SHARE = 0.3  # of the gusts that would begin while the agent speaks; it may stop for one
BACK_AT, BACK_ROOM = 30, 16  # frames of a turn before a back-channel, and after its beginning


@dataclass(frozen=True, slots=True)
class Said:
    """A line in a voice as tokens: codes `[8, T]`, a text token for each word and its frame.

    `clip`: the number of the agents' clip; a place has an echo of each clip, or of none.
    """

    codes: Codes
    words: tuple[int, ...]
    at: tuple[int, ...]
    clip: int = 0


Lines = Mapping[Use, Sequence[Said]]


@dataclass(slots=True)
class Dialogue:
    """Both sides, frame by frame: `text` `[T]`, `agent` and `person` `[8, T]`."""

    text: np.ndarray
    agent: Codes
    person: Codes
    given: list[int]  # frames whose text it is told from outside


class Composer:
    """Makes one dialogue: a persona's lines, a place, a length in frames."""

    def __init__(
        self, rng: random.Random, lines: Lines, place: Place, silence: Codes, frames: int
    ) -> None:
        self._rng, self._lines, self._place = rng, lines, place
        self._silence, self._frames = silence, frames
        begin = rng.randrange(place.noise.shape[1])
        around = np.arange(begin, begin + frames) % place.noise.shape[1]
        self.dialogue = Dialogue(
            np.full(frames, PAD),
            np.tile(silence[:, None], (1, frames)),
            place.noise[:, around],
            [],
        )
        self._unheard = np.ones(frames, dtype=bool)  # where the person is silent
        self._last: list[Said] = []
        self._turns = 0
        self._cut = False  # its last line was interrupted

    def compose(self, *, fresh: bool) -> Dialogue:
        """Return a call from its beginning or, not `fresh`, from somewhere in its middle."""
        rng = self._rng
        self._turns = 0 if fresh else rng.randint(1, 5)
        at = rng.randint(0, 25)
        if fresh and rng.random() < 0.5:
            at = self._told(Use.GREETING, 0)
        while at < self._frames:
            chance = rng.random()
            if chance < 0.1:
                at = self._long_silence(at)
            elif chance < 0.18:
                at = self._told(rng.choice(list(self._lines)), at)
            at = self._turn(at)
        self._disturb()
        return self.dialogue

    def _told(self, use: Use, at: int) -> int:
        """Let the agent say a line that it is told to say; it does not learn to begin it."""
        at += self._rng.randint(*TOLD)
        self.dialogue.given += [frame for frame in (at - 1, at) if frame < self._frames]
        return self._say(self._pick(use), at) + self._rng.randint(*GAPS)

    def _long_silence(self, at: int) -> int:
        """Let nobody speak; the agent asks once."""
        at += self._rng.randint(*STILL)
        at = self._say(self._pick(Use.STILL), at)
        return at + self._rng.randint(10, 120)

    def _turn(self, at: int) -> int:
        """Add a turn, its answer, perhaps an interruption; return the frame of the next turn."""
        rng = self._rng
        end, soft = self._speak(at, interrupts=False)
        while True:
            self._turns += 1
            answer = self._answer(end - at, soft=soft)
            begins = end + rng.randint(*ANSWERS)
            length = answer.codes.shape[1]
            if length < 10 or rng.random() > CUT_SHARE:
                return self._say(answer, begins) + rng.randint(*GAPS)
            at = begins + rng.randint(5, length - 3)
            self._say(answer, begins, until=at + STOP)
            end, soft = self._speak(at, interrupts=True)

    def _speak(self, at: int, *, interrupts: bool) -> tuple[int, bool]:
        """Let the person say one or two things; return the end, and whether it was hardly heard."""
        rng = self._rng
        audible = [each for each in self._place.speech if not (interrupts and each.soft)]
        heard = rng.choice(audible)
        begin, end = at, self._hear(heard, at)
        if rng.random() < 0.3 and not heard.soft:
            more = rng.choice([each for each in audible if not each.soft] or audible)
            end = self._hear(more, end + rng.randint(*PAUSES))
        if end - begin > BACK_AT + BACK_ROOM and not interrupts and rng.random() < 0.75:
            self._say(self._pick(Use.BACK), begin + BACK_AT)
        return end, heard.soft

    def _hear(self, heard: HeardCodes, at: int) -> int:
        self._put(self.dialogue.person, heard.codes, at)
        self._unheard[at : at + heard.codes.shape[1]] = False
        return at + heard.end + 1

    def _answer(self, length: int, *, soft: bool) -> Said:
        """Return the line that fits the turn: hardly heard, first, short or long."""
        if soft:
            return self._pick(Use.AGAIN)
        if self._turns == 1:
            return self._pick(Use.FIRST)
        if self._cut and self._rng.random() < 0.4:
            return self._pick(Use.SORRY)
        return self._pick(Use.LONG if length > LONG else Use.SHORT)

    def _pick(self, use: Use) -> Said:
        lines = self._lines.get(use) or self._lines[Use.SHORT]
        fresh = [line for line in lines if not any(line is last for last in self._last)] or lines
        chosen = self._rng.choice(list(fresh))
        self._last = [*self._last[-2:], chosen]
        return chosen

    def _say(self, line: Said, at: int, until: int | None = None) -> int:
        """Let the agent say a line, up to the frame `until` if interrupted; return its end."""
        length = line.codes.shape[1]
        stop = length if until is None else min(length, until - at)
        self._cut = stop < length
        self._put(self.dialogue.agent, line.codes[:, :stop], at)
        if self._place.echoes:
            echo = self._place.echoes[line.clip]
            late = echo.shape[1] - length  # it is heard for so long after it was said
            self._put_where_unheard(echo[:, : stop + late], at)
        text = self.dialogue.text
        for word, frame in zip(line.words, spread(line.at), strict=True):
            if frame < stop and 0 <= at + frame < self._frames:
                text[at + frame] = word
                if frame == 0 or text[at + frame - 1] == PAD:
                    text[max(0, at + frame - 1)] = EPAD
        return at + stop

    def _put(self, track: Codes, codes: Codes, at: int) -> None:
        last = min(self._frames, at + codes.shape[1])
        if at < last:
            track[:, at:last] = codes[:, : last - at]

    def _put_where_unheard(self, codes: Codes, at: int) -> None:
        """Put sound that is softer than the person where the person is silent."""
        last = min(self._frames, at + codes.shape[1])
        there = np.flatnonzero(self._unheard[at:last])
        self.dialogue.person[:, at + there] = codes[:, there]

    def _disturb(self) -> None:
        """Add coughs, clicks and noises where the person is silent."""
        rng = self._rng
        for kind, share in ((self._place.bursts, 1.0), (self._place.gusts, GUST_OVER_SHARE)):
            for _ in range(rng.randint(0, self._frames // 100)):
                at = rng.randrange(self._frames - 3)
                quiet = (self.dialogue.agent[:, at] == self._silence).all()
                if quiet or rng.random() < share:
                    self._put_where_unheard(rng.choice(kind).codes, at)


def spread(frames: Sequence[int]) -> list[int]:
    """Return words' frames, moved so that a frame of padding follows each, as `say` paces them."""
    out: list[int] = []
    for frame in frames:
        out.append(max(frame, out[-1] + 1 + WORD_GAP_FRAMES) if out else frame)
    return out
