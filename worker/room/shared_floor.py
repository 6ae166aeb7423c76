"""The floor that the personas of one room share. Runs on the room's event loop.

`Floor` has the rules; here they meet the personas: what these do in each tick, which of them a text
mentions, and the event that says which one speaks now.
"""

import time
from collections.abc import Callable, Mapping

from mind.words.addressed import named
from protocol.events import Event, FloorEvent
from worker.room.floor import Floor, FloorRules
from worker.room.persona.persona import RoomPersona


class SharedFloor:
    """Lets one persona of a room speak at a time, and all where there is but one."""

    def __init__(
        self,
        rules: FloorRules,
        present: Mapping[str, RoomPersona],
        emit: Callable[[Event], None],
        *,
        has_text: bool,
    ) -> None:
        """`present` changes as personas come and go.

        `has_text`: a model without text tokens never shows that it wants to speak: it has no floor.
        """
        self._floor = Floor(rules)
        self._present = present
        self._emit = emit
        self._has_text = has_text
        self.wanted = 1  # personas of the room's spec

    @property
    def holder(self) -> str | None:
        """The id of the persona that may speak now."""
        return self._floor.holder

    @property
    def all_may_speak(self) -> bool:
        """Whether there is no floor: for one persona, or a model without text."""
        return not self._has_text or (self.wanted < 2 and len(self._present) < 2)

    def decide(self, person_speaks: bool) -> None:
        """Choose the persona that may speak in the next frame."""
        if not self._has_text:
            return
        personas = list(self._present.values())
        if self.all_may_speak:
            for persona in personas:
                persona.give_floor(True, is_shared=False)
                self._floor.give(persona.spec.id, "alone")
            return
        previous = self._floor.holder
        frames = {each.spec.id: each.floor_frame() for each in personas}
        holder = self._floor.tick(frames, person_speaks)
        for persona in personas:
            persona.give_floor(persona.spec.id == holder)
        if holder != previous:
            self._emit(self._event(holder))

    def go_on(self, holder: str) -> None:
        """Leave the floor to the persona that had it at another host."""
        if holder in self._present and not self.all_may_speak:
            self._floor.give(holder, "wanted")
            self._emit(self._event(holder))

    def person_took_part(self) -> None:
        """Note that a person asked for a line or typed one."""
        self._floor.person_took_part()

    def name_mentioned(self, text: str, speaker: str = "") -> None:
        """Let the persona that a text calls or mentions come first, unless it is the speaker.

        The text of a segment comes here again each time that it grows.
        """
        others = {
            persona_id: persona.spec.label
            for persona_id, persona in self._present.items()
            if persona.identity != speaker
        }
        if (persona_id := named(text, others)) is not None:
            self._floor.name(persona_id)

    def _event(self, holder: str | None) -> FloorEvent:
        event = FloorEvent(at_s=time.time(), reason=self._floor.reason)
        if holder is None:
            return event
        persona = self._present[holder]
        about = {"persona": persona.spec.name, "identity": persona.identity}
        return event.model_copy(update={"persona_id": holder, **about})
