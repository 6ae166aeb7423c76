"""The model that follows a schedule: tone and word while it speaks, silence while it is hushed.

Lines that it is told to say go through the engine's own `Script`, a word each `WORD_EVERY` frames.
Numpy only. Engine thread.
"""

from dataclasses import dataclass, field

import numpy as np

from protocol.personas import Persona
from tests.worker.scripted.schedule import (
    END_OF_PAD,
    PAD,
    VOCABULARY,
    WORD_EVERY,
    Schedule,
    Will,
)
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done, SpokenLine
from worker.engine.conversation.script import Script, Silence
from worker.engine.model import Model, StepOut

FRAME_SAMPLES, RATE_HZ, LEVEL = 1920, 24_000, 0.3
TOO_MUCH = "I fail."
NONE = Will(at=0, speaks=0)
SILENCE = Silence(pad=PAD, codes=(0,), delays=(0,))


@dataclass(slots=True)
class Seat:
    """One persona and its position in the schedule."""

    name: str
    script: Script = field(default_factory=lambda: Script(SILENCE))
    frame: int = 0  # since the schedule was written
    spoken: int = 0  # frames of this turn
    content_since: int | None = None
    phase: int = 0
    sounds_until: int = 0  # frame at which the last word of a line is over

    def wants(self, will: Will) -> bool:
        """Return whether the persona wants to speak in this frame."""
        if self.content_since is not None:
            if will.rest is None or self.frame - self.content_since < will.rest:
                return False
            self.content_since, self.spoken = None, 0
        if will.speaks is not None and self.spoken >= will.speaks:
            self.content_since = self.frame
            return False
        return self.frame >= will.at

    def text(self, wanted: Will, wants: bool) -> int:
        """Return the text token of this frame."""
        orders = self.script.orders
        if orders.text is None:
            word = wants and self.spoken % WORD_EVERY == 0
            self.spoken += wants
            return token_of(wanted.word) if word else PAD
        if orders.at_word and self.frame % WORD_EVERY:  # it begins a word now and then
            return PAD
        if orders.text not in (PAD, END_OF_PAD):
            self.sounds_until = self.frame + WORD_EVERY
        return orders.text


class ScriptedStep:
    """A `BatchedStep` over a schedule."""

    def __init__(self, capacity: int, schedule: Schedule) -> None:
        self._capacity = capacity
        self._schedule = schedule
        self._version = 0
        self._wills: dict[str, Will] = {}
        self._seats: dict[int, Seat] = {}

    @property
    def capacity(self) -> int:
        """The number of slots, B."""
        return self._capacity

    def join(self, slot: int, persona: Persona) -> None:
        """Start a persona in a slot, at the beginning of its schedule."""
        self._seats[slot] = Seat(persona.name)

    def leave(self, slot: int) -> None:
        """Stop the persona of a slot."""
        self._seats.pop(slot).script.drop_sayings()

    def move(self, source: int, target: int) -> None:
        """Move a persona to another slot."""
        self._seats[target] = self._seats.pop(source)

    def hush(self, slot: int, on: bool) -> None:
        """Silence a persona, which goes on wanting to speak."""
        self._seats[slot].script.hush(on)

    def say(self, slot: int, text: str, done: Done) -> None:
        """Say a line of words of the vocabulary; one line is too much for it."""
        if text == TOO_MUCH:
            raise ValueError(text)
        words = [[token_of(word)] for word in text.split()]
        self._seats[slot].script.say(SpokenLine(words, PAD, END_OF_PAD, done))

    def drop_lines(self, slot: int) -> None:
        """Drop the lines of a slot."""
        self._seats[slot].script.drop_sayings()

    def forget(self, slot: int) -> None:
        """Do nothing: there is no memory."""

    def work(self, gap_s: float) -> bool:
        """Return that no work waits."""
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Compute one frame of every persona; its input has no effect."""
        self._follow()
        sound = np.zeros((self._capacity, FRAME_SAMPLES), dtype=np.float32)
        text = np.full(self._capacity, PAD, dtype=np.int64)
        will = text.copy()
        for slot, seat in self._seats.items():
            if not exec_mask[slot]:
                continue
            wanted = self._wills.get(seat.name, NONE)
            wants, hushed = seat.wants(wanted), seat.script.silent
            if wants:
                will[slot] = token_of(wanted.word)
            text[slot] = seat.text(wanted, wants and not hushed)
            if not hushed and (wants or seat.frame < seat.sounds_until):
                sound[slot] = _tone(seat.phase, wanted.hz)
            seat.script.used(int(text[slot]))
            seat.frame += 1
            seat.phase += FRAME_SAMPLES
        return StepOut(pcm=sound, text=text, will=will, valid=exec_mask.copy())

    def _follow(self) -> None:
        version = self._schedule.version()
        if version != self._version:
            self._version, self._wills = version, self._schedule.read()
            for slot, seat in self._seats.items():
                self._seats[slot] = Seat(seat.name, seat.script)


def token_of(word: str) -> int:
    """Return the text token of a word."""
    return END_OF_PAD + 1 + VOCABULARY.index(word)


def _tone(phase: int, hz: float) -> Pcm:
    at = (phase + np.arange(FRAME_SAMPLES)) / RATE_HZ
    return (LEVEL * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def scripted_model(capacity: int, schedule: Schedule) -> Model:
    """Return the model, ready to run."""
    return Model(
        name="scripted",
        step=ScriptedStep(capacity, schedule),
        pieces=(None, None, *(f"▁{word}" for word in VOCABULARY)),
        padding=PAD,
        voices=(),
    )
