"""The model that follows a schedule: tone and word while it speaks, silence while it is hushed.

Numpy only. Engine thread.
"""

from dataclasses import dataclass

import numpy as np

from protocol.personas import Persona
from tests.worker.scripted.schedule import PAD, VOCABULARY, WORD_EVERY, Schedule, Will
from worker.engine.model import Mask, Model, Pcm, StepOut

FRAME_SAMPLES, RATE_HZ, LEVEL = 1920, 24_000, 0.3
TOO_MUCH = "I fail."
NONE = Will(at=0, speaks=0)


@dataclass(slots=True)
class Seat:
    """One persona: how far it is in its will."""

    name: str
    hushed: bool = False
    frame: int = 0  # since the schedule was written
    spoken: int = 0  # frames of this turn
    content_since: int | None = None
    phase: int = 0

    def wants(self, will: Will) -> bool:
        """Whether it wants to speak in this frame."""
        if self.content_since is not None:
            if will.rest is None or self.frame - self.content_since < will.rest:
                return False
            self.content_since, self.spoken = None, 0
        if will.speaks is not None and self.spoken >= will.speaks:
            self.content_since = self.frame
            return False
        return self.frame >= will.at


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
        """Slots in the batch, B."""
        return self._capacity

    def join(self, slot: int, persona: Persona) -> None:
        """A persona comes, and begins its will."""
        self._seats[slot] = Seat(persona.name)

    def leave(self, slot: int) -> None:
        """It goes."""
        del self._seats[slot]

    def move(self, source: int, target: int) -> None:
        """It goes on in another slot."""
        self._seats[target] = self._seats.pop(source)

    def hush(self, slot: int, on: bool) -> None:
        """Silence it; it goes on wanting."""
        self._seats[slot].hushed = on

    def say(self, slot: int, text: str) -> None:
        """It has one word at a time, by its schedule; one line is too much for it."""
        if text == TOO_MUCH:
            raise ValueError(text)

    def forget(self, slot: int) -> None:
        """It remembers nothing."""

    def work(self, gap_s: float) -> bool:
        """Nothing waits."""
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """One frame of everybody's will; what is heard changes nothing."""
        self._follow()
        sound = np.zeros((self._capacity, FRAME_SAMPLES), dtype=np.float32)
        text = np.full(self._capacity, PAD, dtype=np.int64)
        will = text.copy()
        for slot, seat in self._seats.items():
            if not exec_mask[slot]:
                continue
            wanted = self._wills.get(seat.name, NONE)
            if seat.wants(wanted):
                will[slot] = 1 + VOCABULARY.index(wanted.word)
                if not seat.hushed:
                    text[slot] = will[slot] if seat.spoken % WORD_EVERY == 0 else PAD
                    sound[slot] = _tone(seat.phase, wanted.hz)
                    seat.spoken += 1
            seat.frame += 1
            seat.phase += FRAME_SAMPLES
        return StepOut(pcm=sound, text=text, will=will, valid=exec_mask.copy())

    def _follow(self) -> None:
        version = self._schedule.version()
        if version != self._version:
            self._version, self._wills = version, self._schedule.read()
            for slot, seat in self._seats.items():
                self._seats[slot] = Seat(seat.name, seat.hushed)


def _tone(phase: int, hz: float) -> Pcm:
    at = (phase + np.arange(FRAME_SAMPLES)) / RATE_HZ
    return (LEVEL * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def scripted_model(capacity: int, schedule: Schedule) -> Model:
    """Make it, ready to run."""
    return Model(
        name="scripted",
        step=ScriptedStep(capacity, schedule),
        pieces=(None, *(f"▁{word}" for word in VOCABULARY)),
        padding=PAD,
        voices=(),
    )
