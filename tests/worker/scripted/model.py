"""A model that follows a schedule: it makes a tone and words while it speaks, else silence.

Its n-th column of a session has the token n: it remembers how many frames it has heard. Without a
schedule every persona speaks and pauses in turns. Lines that a persona is told to say go through
the engine's own `SlotForcing`, a word each `WORD_EVERY` frames. Numpy only. Engine thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from protocol.personas import Persona
from tests.worker.scripted.schedule import (
    END_OF_PAD,
    PAD,
    TALKS,
    VOCABULARY,
    WORD_EVERY,
    Schedule,
    SpeechPlan,
)
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done, SpokenLine
from worker.engine.conversation.slot_forcing import Silence, SlotForcing
from worker.engine.model import Model, Remembered, StepColumns, StepOut

FRAME_SAMPLES, RATE_HZ, LEVEL = 1920, 24_000, 0.3
TOO_MUCH = "I fail."
NONE = SpeechPlan(at=0, speaks=0)
SILENCE = Silence(pad=PAD, codes=(0,), delays=(0,))


@dataclass(slots=True)
class ScriptedSession:
    """One persona, and how far it is in its plan."""

    name: str
    forcing: SlotForcing = field(default_factory=lambda: SlotForcing(SILENCE))
    frame: int = 0  # since the schedule was written
    spoken: int = 0  # frames of this turn so far
    done_since: int | None = None
    phase: int = 0
    sounds_until: int = 0  # frame at which the last word of a line is over
    heard: int = 0  # frames, including those that other hosts have computed
    missed: int = 0  # frames of its plan that other hosts have computed

    def go_on(self, plan: SpeechPlan) -> None:
        """Skip the frames of the plan that another host has computed."""
        for _ in range(self.missed):
            self.spoken += self.wants(plan)
            self.frame += 1
        self.missed = 0

    def wants(self, plan: SpeechPlan) -> bool:
        """Return whether the persona wants to speak in this frame."""
        if self.done_since is not None:
            if plan.rest is None or self.frame - self.done_since < plan.rest:
                return False
            self.done_since, self.spoken = None, 0
        if plan.speaks is not None and self.spoken >= plan.speaks:
            self.done_since = self.frame
            return False
        return self.frame >= plan.at

    def text(self, plan: SpeechPlan, wants: bool) -> int:
        """Return the text token of this frame."""
        forced = self.forcing.frame
        if forced.text is None:
            word = wants and self.spoken % WORD_EVERY == 0
            self.spoken += wants
            return token_of(plan.word) if word else PAD
        if forced.at_word and self.frame % WORD_EVERY:  # a word begins each `WORD_EVERY` frames
            return PAD
        if forced.text not in (PAD, END_OF_PAD):
            self.sounds_until = self.frame + WORD_EVERY
        return forced.text


class ScriptedStep:
    """A `BatchedStep` that follows a schedule."""

    def __init__(self, capacity: int, schedule: Schedule | None) -> None:
        self._capacity = capacity
        self._schedule = schedule
        self._otherwise = TALKS if schedule is None else NONE
        self._version = 0
        self._plans: dict[str, SpeechPlan] = {}
        self._sessions: dict[int, ScriptedSession] = {}

    @property
    def capacity(self) -> int:
        """Slots in the batch, B."""
        return self._capacity

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        """Start a persona at the beginning of its plan."""
        self._sessions[slot] = ScriptedSession(persona.name)
        self._remember(slot, remembered)

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Add columns to what the slot remembers."""
        self._remember(slot, more)
        done()

    def leave(self, slot: int) -> None:
        """Free the slot."""
        self._sessions.pop(slot).forcing.drop_lines()

    def move(self, source: int, target: int) -> None:
        """Move a persona to another slot."""
        self._sessions[target] = self._sessions.pop(source)

    def hush(self, slot: int, on: bool) -> None:
        """Silence a persona, which still wants to speak."""
        self._sessions[slot].forcing.hush(on)

    def say(self, slot: int, text: str, done: Done) -> None:
        """Say a line of words of the vocabulary; fail at the line `TOO_MUCH`."""
        if text == TOO_MUCH:
            raise ValueError(text)
        words = [[token_of(word)] for word in text.split()]
        self._sessions[slot].forcing.say(SpokenLine(words, PAD, END_OF_PAD, done))

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        """Drop the lines that the persona was told to say."""
        self._sessions[slot].forcing.drop_lines(unless_begun=unless_begun)

    def forget(self, slot: int) -> None:
        """Make the slot remember nothing."""
        self._sessions[slot].heard = 0

    def work(self, gap_s: float) -> bool:
        """Do nothing: no work waits."""
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Compute one frame of each running slot; what is heard has no effect."""
        self._follow()
        sound = np.zeros((self._capacity, FRAME_SAMPLES), dtype=np.float32)
        text = np.full(self._capacity, PAD, dtype=np.int64)
        unforced, heard = text.copy(), text.copy()
        for slot, session in self._sessions.items():
            if not exec_mask[slot]:
                continue
            plan = self._plans.get(session.name, self._otherwise)
            session.go_on(plan)
            wants, hushed = session.wants(plan), session.forcing.silent
            if wants:
                unforced[slot] = token_of(plan.word)
            text[slot] = session.text(plan, wants and not hushed)
            if not hushed and (wants or session.frame < session.sounds_until):
                sound[slot] = _tone(session.phase, plan.hz)
            session.forcing.used(int(text[slot]))
            session.heard += 1
            heard[slot] = session.heard
            session.frame += 1
            session.phase += FRAME_SAMPLES
        columns = StepColumns(heard[:, None], heard, heard)
        return StepOut(sound, text, unforced, exec_mask.copy(), columns)

    def _follow(self) -> None:
        version = 0 if self._schedule is None else self._schedule.version()
        if self._schedule is not None and version != self._version:
            self._version, self._plans = version, self._schedule.read()
            for slot, session in self._sessions.items():
                self._sessions[slot] = ScriptedSession(
                    session.name, session.forcing, heard=session.heard, missed=session.missed
                )

    def _remember(self, slot: int, remembered: Remembered | None) -> None:
        if remembered is not None and len(remembered.tokens):
            session, before = self._sessions[slot], self._sessions[slot].heard
            # The last column is read again, with what is heard then.
            session.heard = int(remembered.tokens[-1, 0]) - 1
            session.missed += session.heard - before


def token_of(word: str) -> int:
    """Return the text token of a word of the vocabulary."""
    return END_OF_PAD + 1 + VOCABULARY.index(word)


def _tone(phase: int, hz: float) -> Pcm:
    at = (phase + np.arange(FRAME_SAMPLES)) / RATE_HZ
    return (LEVEL * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def scripted_model(capacity: int, schedule: Schedule | None) -> Model:
    """Return the model, ready to run."""
    return Model(
        name="scripted",
        step=ScriptedStep(capacity, schedule),
        pieces=(None, None, *(f"▁{word}" for word in VOCABULARY)),
        padding=PAD,
        voices=(),
    )
