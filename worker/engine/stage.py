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
from worker.engine.chores import Chore, Chores
from worker.engine.depformer import Forced
from worker.engine.language import Weights
from worker.engine.memory import Memory, Snapshot
from worker.engine.model import Mask, Tokens
from worker.engine.prompt import WAITED_FRAMES, Prompts
from worker.engine.say import Done, Saying, spell
from worker.engine.script import FREE, Orders, Script, Silence
from worker.engine.slots import SlotFailed

# Said at the first pause by a persona with `greeting`; it goes on in its own words.
GREETING = "Hello, how can I help you?"


class Step(Protocol):
    """What is needed of the step."""

    @property
    def memory(self) -> Memory:
        """The state of all slots."""
        ...

    @property
    def chores(self) -> Chores:
        """Work for the gaps."""
        ...

    def ahead(self, slot: int) -> Tokens:
        """What a slot's next steps will read."""
        ...


@dataclass(slots=True, eq=False)
class _Seat:
    """One occupant of a slot."""

    persona: Persona
    script: Script | None = None  # made when it is told something
    told: Orders = FREE
    heard: deque[Tokens] | None = None  # columns since it waits for its prompt
    opened: bool = False  # its mind has read its prompt


class Stage:
    """Tells every slot what it has to say in its next step."""

    def __init__(
        self,
        step: Step,
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
        self._seats: dict[int, _Seat] = {}
        self._reading = False  # a prompt

    def join(self, slot: int, persona: Persona) -> None:
        """Begin with a new occupant, whose slot was emptied."""
        self.leave(slot)
        seat = self._seats[slot] = _Seat(persona)
        if self.prompts.reading.prompted:
            opening = self.prompts.get(persona)
            if opening is not None:
                self._open(slot, opening, opening)
            else:
                self._wait(slot, seat)
        if persona.greeting:
            self.say(slot, GREETING)

    def leave(self, slot: int) -> None:
        """Tell this occupant nothing more."""
        seat = self._seats.pop(slot, None)
        if seat is not None:
            self._step.chores.cancel(seat)
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
        """Have a slot say a text at its next pause; then `done` is told whether all was said."""
        reading, lm = self.prompts.reading, self._lm
        words = [] if reading.encode is None else spell(text, reading.encode, reading.pieces)
        saying = Saying(words, lm.text_padding_token_id, lm.end_of_text_padding_id, done)
        self._script(slot).say(saying)
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
        """Note that an emptied slot was given its opening again."""
        if self._seats[slot].opened:
            self._script(slot).after_silence()
            self._tell(slot)

    def used(self, text: Tokens, columns: Tokens, running: Mask) -> None:
        """Take notice of a step: the text tokens it used `[B]`, what it read `[B, 1 + n_q]`."""
        for slot, seat in self._seats.items():
            if running[slot] and seat.script is not None:
                if seat.heard is not None:
                    seat.heard.append(columns[slot].copy())
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

    def _open(self, slot: int, mind: Snapshot, opening: Snapshot) -> None:
        """Give a slot a mind that has read its opening and perhaps more."""
        self._step.memory.load(slot, mind)
        self._opened(slot, opening)
        self._seats[slot].opened = True
        self._script(slot).after_silence()
        self._tell(slot)

    def _wait(self, slot: int, seat: _Seat) -> None:
        self._script(slot).hush(True, "prompt")
        self._tell(slot)
        seat.heard = deque(maxlen=WAITED_FRAMES)
        self._step.chores.add(seat, self._prompt(seat))

    def _prompt(self, seat: _Seat) -> Chore:
        """Read a prompt and give it to whoever waits for it, wherever they sit by then.

        One at a time: each is read by a mind of its own, which takes memory.
        """
        try:
            yield from self._read(seat)
        except Exception as error:
            raise SlotFailed(self._slot_of(seat)) from error

    def _read(self, seat: _Seat) -> Chore:
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
        heard = self._heard(slot, seat)
        seat.heard = None
        self._script(slot).hush(False, "prompt")
        self._open(slot, self.prompts.caught_up(seat.persona, opening, heard), opening)

    def _slot_of(self, seat: _Seat) -> int:
        return next(slot for slot, each in self._seats.items() if each is seat)

    def _heard(self, slot: int, seat: _Seat) -> Tokens:
        """User codes `[T, K]` of what a waiting slot heard, but for its first frame.

        The codes of a frame are read at different positions (acoustic delay), the last ones not
        yet; the first frame of a session is not read at all.
        """
        assert seat.heard is not None
        delays = self._lm.delays[1 + self._lm.dep_q :]
        if len(seat.heard) < 2:
            return np.zeros((0, len(delays)), dtype=np.int64)
        columns = np.concatenate([np.stack(seat.heard), self._step.ahead(slot)])
        users = columns[:, 1 + self._lm.dep_q :]
        frames = [users[1 + delay : len(seat.heard) + delay, k] for k, delay in enumerate(delays)]
        return np.stack(frames, axis=1)
