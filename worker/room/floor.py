"""The floor: at most one persona of a room speaks at a time, people whenever they like. Pure.

Fed once per tick with what each persona's own model wants and does; says who may speak. No language
model arbitrates: a persona wants the floor when the text token it would have used is not padding in
two of its last three frames. One that was given a line to say comes before all others, and keeps
the floor until its lines are said or a person talks it down. Times are frames of 80 ms.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.config.settings import Settings
from worker.grid import FRAME_S

WILL_WINDOW = 3
WILL_ENOUGH = 2


@dataclass(frozen=True, slots=True)
class FloorRules:
    """How long is what, in frames; `without_person_*` bound the personas' talk by themselves."""

    free_after: int = 8  # 0.64 s of silence: its sentence is over
    hold_most: int = 250  # 20 s: after that it yields at its next pause
    yield_pause: int = 3  # 0.24 s: what counts as a pause then
    talked_over_most: int = 25  # 2 s: so long the model may decide by itself to stop
    person_breathes: int = 6  # 0.48 s: a shorter silence of the people is inside their speech
    named_first: int = 25  # 2 s of a free floor: so long others let one that was named come first
    without_person_turns: int = 8
    without_person_frames: int = 750  # 60 s

    @classmethod
    def of(cls, settings: Settings) -> "FloorRules":
        """The rules that an operator may set, in frames."""
        return cls(
            hold_most=round(settings.floor_hold_s / FRAME_S),
            without_person_turns=settings.floor_alone_turns,
            without_person_frames=round(settings.floor_alone_s / FRAME_S),
        )


@dataclass(frozen=True, slots=True)
class Showing:
    """What one persona shows in a tick."""

    wants: bool  # the text token it would have used is not padding
    sounds: bool  # its frame was voiced or carried text
    line: bool = False  # it was given a line to say, which is not over


@dataclass(slots=True)
class _Persona:
    wills: deque[bool] = field(default_factory=lambda: deque(maxlen=WILL_WINDOW))
    line: bool = False
    waits: int = 0  # frames for which it has wanted the floor

    @property
    def wants(self) -> bool:
        return self.line or sum(self.wills) >= WILL_ENOUGH


class Floor:
    """Who has the floor. Called from one thread, once per tick."""

    def __init__(self, rules: FloorRules | None = None) -> None:
        self.rules = rules or FloorRules()
        self.holder: str | None = None
        self.reason = ""  # of the last change
        self._personas: dict[str, _Persona] = {}
        self._held = 0
        self._quiet = 0
        self._talked_over = 0
        self._people_quiet = 0
        self._cut_off = False  # by a person who still speaks: nobody talks into it
        self._turns_alone = 0
        self._frames_alone = 0
        self._named: str | None = None
        self._named_left = 0

    @property
    def open(self) -> bool:
        """Whether personas may still talk among themselves without a person."""
        rules = self.rules
        return (
            self._turns_alone < rules.without_person_turns
            and self._frames_alone < rules.without_person_frames
        )

    def name(self, persona: str) -> None:
        """Somebody addressed a persona: it comes first for a while."""
        if persona != self.holder:
            self._named, self._named_left = persona, self.rules.named_first

    def reopen(self) -> None:
        """A person or an application took part: the personas may go on among themselves."""
        self._turns_alone = self._frames_alone = 0

    def seat(self, persona: str) -> None:
        """Begin with a persona that speaks already: it was alone and now is not."""
        self._take(persona, "alone")

    def tick(self, showing: Mapping[str, Showing], person_speaks: bool) -> str | None:
        """Take what every persona showed in this frame; give who may speak in the next."""
        self._meet(showing)
        self._count_alone(person_speaks)
        if self.holder is not None:
            self._may_lose(showing[self.holder], person_speaks)
        if self.holder is None:
            self._grant()
            self._named_left = max(self._named_left - 1, 0)
        return self.holder

    def _meet(self, showing: Mapping[str, Showing]) -> None:
        """Remember who is here and what they want."""
        self._personas = {who: self._personas.get(who, _Persona()) for who in showing}
        for who, shown in showing.items():
            persona = self._personas[who]
            persona.wills.append(shown.wants)
            persona.line = shown.line
            persona.waits = persona.waits + 1 if persona.wants else 0
        if self.holder is not None and self.holder not in self._personas:
            self._lose("left")

    def _count_alone(self, person_speaks: bool) -> None:
        if person_speaks:
            self._people_quiet = 0
            self.reopen()
        else:
            self._people_quiet += 1
            self._frames_alone += self.holder is not None
        if self._people_quiet > self.rules.person_breathes:
            self._talked_over, self._cut_off = 0, False

    def _may_lose(self, shown: Showing, person_speaks: bool) -> None:
        """Take the floor from its holder where it has fallen silent or a person talks over it."""
        rules = self.rules
        self._held += 1
        self._quiet = 0 if shown.sounds or shown.wants or shown.line else self._quiet + 1
        self._talked_over += person_speaks or self._talked_over > 0
        if self._talked_over >= rules.talked_over_most:
            self._cut_off = True
            self._lose("talked_over")
        elif self._quiet >= rules.free_after:
            self._lose("silent")
        elif self._held >= rules.hold_most and self._quiet >= rules.yield_pause:
            self._lose("held_long")

    def _lose(self, reason: str) -> None:
        self.holder, self.reason = None, reason

    def _grant(self) -> None:
        """Give the free floor to a persona with a line, else to the one that was named.

        Else, and among several with a line, the one that has wanted it longest gets it.
        """
        if self._cut_off:
            return
        wanting = {who: each.waits for who, each in self._personas.items() if each.wants}
        lines = {who: waits for who, waits in wanting.items() if self._personas[who].line}
        reason = "wanted"
        if lines:
            wanting, reason = lines, "line"
        elif not self.open:
            return
        elif self._named_left and self._named in self._personas:
            wanting = {who: waits for who, waits in wanting.items() if who == self._named}
            reason = "named"
        if wanting:
            self._take(max(wanting, key=wanting.__getitem__), reason)
            self._turns_alone += 1

    def _take(self, persona: str, reason: str) -> None:
        self.holder, self.reason = persona, reason
        taker = self._personas.setdefault(persona, _Persona())
        taker.wills.clear()
        taker.waits = 0
        self._named_left = 0 if persona == self._named else self._named_left
        self._held = self._quiet = self._talked_over = 0
