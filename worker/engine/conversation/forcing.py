"""What the slots are told: the prompt they begin with, silence, given words.

Owns a seat for every occupant that was told anything. A slot whose prompt is not kept yet listens
in silence: its prompt is read in the gaps, then what it heard meanwhile (up to 4 s), as if that had
been said after the prompt, and then it speaks.
Knows no sound. Engine thread only.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from protocol.personas import Persona
from worker.engine.arrays import Mask, Tokens
from worker.engine.background import BackgroundWork, Chore
from worker.engine.conversation.prompt_state import WAITED_FRAMES, Prompts
from worker.engine.conversation.say import Done, SpokenLine, spell
from worker.engine.conversation.script import FREE, ForcedFrame, Script, Silence
from worker.engine.network.depformer import Forced
from worker.engine.network.language import ReadOpening, Weights
from worker.engine.network.memory import Memory, Snapshot
from worker.engine.slots import SlotFailed


class ForcingStep(Protocol):
    """What is needed of the step."""

    @property
    def memory(self) -> Memory:
        """The state of all slots."""
        ...

    @property
    def background(self) -> BackgroundWork:
        """Work for the gaps."""
        ...

    def draw_first(self, slot: int, read: ReadOpening) -> int:
        """Draw what follows the opening that a slot's mind has read; give the text token."""
        ...


@dataclass(slots=True, eq=False)
class _SlotForcing:
    """One occupant of a slot."""

    persona: Persona
    script: Script | None = None  # made when it is told something
    told: ForcedFrame = FREE
    heard: deque[Tokens] | None = None  # the user's codes [K] since it waits for its prompt
    opening: ReadOpening | None = None  # its mind has read it
    follows: ReadOpening | None = None  # what comes after it is drawn before the next step


class Forcing:
    """Tells every slot what it has to say in its next step."""

    def __init__(
        self,
        step: ForcingStep,
        weights: Weights,
        forced: Forced,
        prompts: Prompts,
        opened: Callable[[int, Snapshot], None],
    ) -> None:
        """`opened` is called with every slot that was given its opening, and with the opening."""
        self.prompts = prompts
        self._opened = opened
        self._step, self._forced = step, forced
        self._lm = weights.lm
        self._seats: dict[int, _SlotForcing] = {}
        self._reading = False  # a prompt

    def join(self, slot: int, persona: Persona) -> None:
        """Begin with a new occupant, whose slot was emptied."""
        self.leave(slot)
        seat = self._seats[slot] = _SlotForcing(persona)
        if self.prompts.reading.prompted:
            self._step.memory.load(slot, self.prompts.mouth)
            opening = self.prompts.get(persona)
            if opening is not None:
                self._open(slot, opening, opening)
            else:
                self._wait(slot, seat)

    def leave(self, slot: int) -> None:
        """Tell this occupant nothing more."""
        seat = self._seats.pop(slot, None)
        if seat is not None:
            self._step.background.cancel(seat)
            if seat.script is not None:
                seat.script.drop_sayings()

    def move(self, source: int, target: int) -> None:
        """Follow an occupant to another slot."""
        self._seats[target] = self._seats.pop(source)

    def hush(self, slot: int, on: bool) -> None:
        """Keep a slot silent from its next frame on, or let it speak again."""
        self._script(slot).hush(on)
        self._tell(slot)

    def say(self, slot: int, text: str, done: Done | None = None) -> None:
        """Have a slot say a text at its next pause; `done` is told whether all of it was said."""
        reading, lm = self.prompts.reading, self._lm
        words = [] if reading.encode is None else spell(text, reading.encode, reading.pieces)
        saying = SpokenLine(words, lm.text_padding_token_id, lm.end_of_text_padding_id, done)
        self._script(slot).say(saying)
        self._tell(slot)

    def drop_lines(self, slot: int) -> None:
        """Drop every text that a slot was given and has not said yet."""
        script = self._seats[slot].script
        if script is not None:
            script.drop_sayings()
            self._tell(slot)

    def waits(self, slot: int) -> bool:
        """Whether a slot's prompt is still being read."""
        return self._seats[slot].heard is not None

    def hushed(self) -> list[int]:
        """Slots on which silence is forced in the next step; until `used`, in the one that ran."""
        scripts = ((slot, seat.script) for slot, seat in self._seats.items())
        return [slot for slot, script in scripts if script is not None and script.silent]

    def forget(self, slot: int) -> None:
        """Forget what a slot heard while it waits for its prompt."""
        heard = self._seats[slot].heard
        if heard is not None:
            heard.clear()

    def reopened(self, slot: int) -> None:
        """Go on with a slot that was emptied and given its opening again."""
        seat = self._seats[slot]
        if seat.opening is not None:
            self._step.memory.load(slot, self.prompts.mouth)
            seat.follows = seat.opening

    def begin(self, running: Mask) -> None:
        """Draw what follows the openings of slots that run for the first time since.

        Not sooner: who is hushed or given words meanwhile is so from the first frame on.
        """
        for slot, seat in self._seats.items():
            if running[slot] and seat.follows is not None:
                script = self._script(slot)
                script.after_silence()
                self._tell(slot)
                script.used(self._step.draw_first(slot, seat.follows))
                self._tell(slot)
                seat.follows = None

    def used(self, text: Tokens, heard: Tokens, running: Mask) -> None:
        """Take notice of a step: the text tokens it used `[B]`, the user's codes `[B, K]`."""
        for slot, seat in self._seats.items():
            if running[slot] and seat.script is not None:
                if seat.heard is not None:
                    seat.heard.append(heard[slot].copy())
                seat.script.used(int(text[slot]))
                self._tell(slot)

    def _script(self, slot: int) -> Script:
        seat = self._seats[slot]
        if seat.script is None:
            lm = self._lm
            seat.script = Script(
                Silence(
                    pad=lm.text_padding_token_id,
                    codes=tuple(int(code) for code in self.prompts.silence),
                    delays=tuple(lm.delays[1 : 1 + lm.dep_q]),
                )
            )
        return seat.script

    def _tell(self, slot: int) -> None:
        """Turn the slot's orders into forced tokens, where they changed."""
        seat = self._seats[slot]
        orders = seat.script.orders if seat.script is not None else FREE
        if orders != seat.told:
            audio = orders.audio or (None,) * self._lm.dep_q
            self._forced.turn(slot, orders.text, audio, at_word=orders.at_word)
            seat.told = orders

    def _open(self, slot: int, read: ReadOpening, opening: ReadOpening) -> None:
        """Give a slot a mind that has read its opening, and perhaps more."""
        self._step.memory.load(slot, read.mind)
        self._opened(slot, opening.mind)
        seat = self._seats[slot]
        seat.opening, seat.follows = opening, read

    def _wait(self, slot: int, seat: _SlotForcing) -> None:
        self._script(slot).hush(True, "prompt")
        self._tell(slot)
        seat.heard = deque(maxlen=WAITED_FRAMES)
        self._step.background.add(seat, self._prompt(seat))

    def _prompt(self, seat: _SlotForcing) -> Chore:
        """Read a prompt and give it to whoever waits for it, wherever they sit by then.

        One at a time: each is read by a mind of its own, which takes memory.
        """
        try:
            yield from self._read(seat)
        except Exception as error:
            raise SlotFailed(self._slot_of(seat)) from error

    def _read(self, seat: _SlotForcing) -> Chore:
        while self._reading:
            yield None
        self._reading = True
        try:
            opening = self.prompts.get(seat.persona)  # another may have read it by now
            if opening is None:
                yield from self.prompts.pieces(seat.persona)
                opening = self.prompts.get(seat.persona)
                assert opening is not None
        finally:
            self._reading = False
        yield "prompt is given"
        slot = self._slot_of(seat)
        heard = np.array(seat.heard, dtype=np.int64).reshape(-1, self._lm.n_q - self._lm.dep_q)
        seat.heard = None
        self._script(slot).hush(False, "prompt")
        self._open(slot, self.prompts.caught_up(seat.persona, opening, heard), opening)

    def _slot_of(self, seat: _SlotForcing) -> int:
        return next(slot for slot, each in self._seats.items() if each is seat)
