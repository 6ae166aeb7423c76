"""The floor: at most one persona of a room may speak at a time; people may always speak. Pure.

`Floor.tick` takes what each persona's model does in a frame and returns the persona that may speak
in the next. A persona wants to speak when the text token that its model would emit is not padding
in two of its last three frames. A persona with a line to say comes before all others, and keeps the
floor until its lines are said or a person talks over it. Times are frames of 80 ms.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.config.settings import Settings
from worker.frames import FRAME_S

WANTS_WINDOW = 3
WANTS_NEEDED = 2


@dataclass(frozen=True, slots=True)
class FloorRules:
    """Durations of the floor, in frames; `without_person_*` limit talk among personas alone."""

    silent_frames: int = 8  # 0.64 s without sound: the holder's sentence is over
    hold_frames: int = 250  # 20 s: after that the holder loses the floor at its next pause
    yield_pause_frames: int = 3  # 0.24 s: such a pause
    talked_over_frames: int = 25  # 2 s in which the model may stop by itself
    person_pause_frames: int = 6  # 0.48 s: a shorter silence of the people is within their speech
    named_first_frames: int = 25  # 2 s of a free floor for a persona that was named
    without_person_turns: int = 8
    without_person_frames: int = 750  # 60 s

    @classmethod
    def of(cls, settings: Settings, *, understands: bool = True) -> "FloorRules":
        """Return the rules with an operator's settings.

        Unless these say otherwise, personas that do not understand each other do not talk together.
        """
        is_set = "floor_alone_turns" in settings.model_fields_set
        return cls(
            hold_frames=round(settings.floor_hold_s / FRAME_S),
            without_person_turns=settings.floor_alone_turns if understands or is_set else 1,
            without_person_frames=round(settings.floor_alone_s / FRAME_S),
        )


@dataclass(frozen=True, slots=True)
class PersonaFrame:
    """The part of one persona's frame that the floor decides by."""

    wants_to_speak: bool  # the text token that its model would emit is not padding
    is_sounding: bool  # its frame was voiced or carried text
    has_line: bool = False  # it was given a line that is not said yet


@dataclass(slots=True)
class _Candidate:
    recent_wants: deque[bool] = field(default_factory=lambda: deque(maxlen=WANTS_WINDOW))
    has_line: bool = False
    waited_frames: int = 0  # for which it has wanted the floor

    @property
    def wants_floor(self) -> bool:
        return self.has_line or sum(self.recent_wants) >= WANTS_NEEDED


class Floor:
    """Decides which persona may speak. Called from one thread, once per tick."""

    def __init__(self, rules: FloorRules | None = None) -> None:
        self.rules = rules or FloorRules()
        self.holder: str | None = None
        self.reason = ""  # of the last change
        self._candidates: dict[str, _Candidate] = {}
        self._held_frames = 0
        self._silent_frames = 0
        self._talked_over_frames = 0
        self._people_silent_frames = 0
        self._is_cut_off = False  # by a person who still speaks: no persona may speak
        self._turns_without_person = 0
        self._frames_without_person = 0
        self._named: str | None = None
        self._named_frames_left = 0

    @property
    def may_talk_without_person(self) -> bool:
        """Return whether personas may still talk among themselves."""
        rules = self.rules
        return (
            self._turns_without_person < rules.without_person_turns
            and self._frames_without_person < rules.without_person_frames
        )

    def name(self, persona: str) -> None:
        """Let a persona that was named come before others for a while."""
        if persona != self.holder:
            self._named, self._named_frames_left = persona, self.rules.named_first_frames

    def person_took_part(self) -> None:
        """Start the limits of talk without a person again."""
        self._turns_without_person = self._frames_without_person = 0

    def tick(self, frames: Mapping[str, PersonaFrame], person_speaks: bool) -> str | None:
        """Take every persona's frame; return the persona that may speak in the next frame."""
        self._update_candidates(frames)
        self._update_people(person_speaks)
        if self.holder is not None:
            self._update_holder(frames[self.holder], person_speaks)
        if self.holder is None:
            self._grant()
            self._named_frames_left = max(self._named_frames_left - 1, 0)
        return self.holder

    def _update_candidates(self, frames: Mapping[str, PersonaFrame]) -> None:
        self._candidates = {each: self._candidates.get(each, _Candidate()) for each in frames}
        for persona, frame in frames.items():
            candidate = self._candidates[persona]
            candidate.recent_wants.append(frame.wants_to_speak)
            candidate.has_line = frame.has_line
            candidate.waited_frames = candidate.waited_frames + 1 if candidate.wants_floor else 0
        if self.holder is not None and self.holder not in self._candidates:
            self._take_away("left")

    def _update_people(self, person_speaks: bool) -> None:
        if person_speaks:
            self._people_silent_frames = 0
            self.person_took_part()
        else:
            self._people_silent_frames += 1
            self._frames_without_person += self.holder is not None
        if self._people_silent_frames > self.rules.person_pause_frames:
            self._talked_over_frames, self._is_cut_off = 0, False

    def _update_holder(self, frame: PersonaFrame, person_speaks: bool) -> None:
        """Take the floor from a holder that is silent, held it long, or is talked over."""
        rules = self.rules
        is_active = frame.is_sounding or frame.wants_to_speak or frame.has_line
        self._held_frames += 1
        self._silent_frames = 0 if is_active else self._silent_frames + 1
        self._talked_over_frames += person_speaks or self._talked_over_frames > 0
        if self._talked_over_frames >= rules.talked_over_frames:
            self._is_cut_off = True
            self._take_away("talked_over")
        elif self._silent_frames >= rules.silent_frames:
            self._take_away("silent")
        elif (
            self._held_frames >= rules.hold_frames
            and self._silent_frames >= rules.yield_pause_frames
        ):
            self._take_away("held_long")

    def _take_away(self, reason: str) -> None:
        self.holder, self.reason = None, reason

    def _grant(self) -> None:
        """Give the free floor to a persona with a line, else to the one that was named.

        Otherwise, and among several with a line, give it to the one that has waited longest.
        """
        if self._is_cut_off:
            return
        waited = {
            persona: each.waited_frames
            for persona, each in self._candidates.items()
            if each.wants_floor
        }
        with_line = {each: waited[each] for each in waited if self._candidates[each].has_line}
        reason = "wanted"
        if with_line:
            waited, reason = with_line, "line"
        elif not self.may_talk_without_person:
            return
        elif self._named_frames_left and self._named in self._candidates:
            waited = {each: waited[each] for each in waited if each == self._named}
            reason = "named"
        if waited:
            self.give(max(waited, key=waited.__getitem__), reason)
            self._turns_without_person += 1

    def give(self, persona: str, reason: str) -> None:
        """Give the floor to a persona, whoever has it."""
        self.holder, self.reason = persona, reason
        candidate = self._candidates.setdefault(persona, _Candidate())
        candidate.recent_wants.clear()
        candidate.waited_frames = 0
        self._named_frames_left = 0 if persona == self._named else self._named_frames_left
        self._held_frames = self._silent_frames = self._talked_over_frames = 0
