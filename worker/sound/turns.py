"""The turn figure: from the end of the person's speech to the persona's first voiced frame. Pure.

Times are seconds of one monotonic clock. The person's end is known late (the VAD waits for
silence), so the persona may have begun before it is reported.
"""


class TurnTimer:
    """Pairs the person's ends of speech with one persona's beginnings."""

    def __init__(self) -> None:
        self._ended_s: float | None = None
        self._speaking_since_s: float | None = None

    def person_started(self) -> None:
        """The person speaks again: an answer that has not begun is no answer to what was before."""
        self._ended_s = None

    def person_ended(self, at_s: float) -> float | None:
        """The person fell silent at `at_s`; seconds to the answer if it has begun since."""
        began_s = self._speaking_since_s
        if began_s is None:
            self._ended_s = at_s
            return None
        return began_s - at_s if began_s > at_s else None

    def persona_started(self, at_s: float) -> float | None:
        """The persona's first voiced frame; seconds since the person's end, if it answers one."""
        self._speaking_since_s = at_s
        ended_s, self._ended_s = self._ended_s, None
        return at_s - ended_s if ended_s is not None else None

    def persona_paused(self) -> None:
        """The persona fell silent."""
        self._speaking_since_s = None
