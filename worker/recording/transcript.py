"""The words of a recording, as JSON and as WebVTT, by the clock of its sound. Pure.

Both are written anew after each segment, in the order in which segments began: a long one ends
after a short one that began later. The text of earlier segments is made once.
"""

import json
from bisect import insort
from dataclasses import dataclass
from typing import Any

from protocol.wire import WordTime

SHORTEST_CUE_S = 0.5  # a typed line has no length; a cue without one is never shown


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one participant, in seconds since the part began."""

    start_s: float
    end_s: float
    identity: str
    name: str
    persona: str  # its name; empty: a person
    text: str
    is_typed: bool = False
    words: tuple[WordTime, ...] = ()  # of a person, where the recogniser tells their times


class Transcript:
    """The segments so far. Called from one thread."""

    def __init__(self, about: dict[str, Any]) -> None:
        """`about` is the head of the JSON: session, room, channels."""
        self._about = about
        self._written: list[tuple[float, int, str, str]] = []  # start, order, JSON, cue

    def add(self, segment: Segment) -> None:
        """Add a segment at its place."""
        entry = json.dumps(_entry(segment), ensure_ascii=False)
        insort(self._written, (segment.start_s, len(self._written), entry, _cue(segment)))

    def as_json(self, duration_s: float) -> str:
        """Return the transcript so far; `duration_s` is that of the sound."""
        head = json.dumps(self._about | {"duration_s": round(duration_s, 3)}, ensure_ascii=False)
        segments = ",\n".join(entry for _, _, entry, _ in self._written)
        return f'{head[:-1]}, "segments": [\n{segments}\n]}}\n'

    def as_webvtt(self) -> str:
        """Return the transcript so far, each segment as a cue with its speaker's name."""
        return "\n".join(["WEBVTT\n", *(cue for _, _, _, cue in self._written)])


def _entry(segment: Segment) -> dict[str, Any]:
    return {
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "identity": segment.identity,
        "name": segment.name,
        "persona": segment.persona,
        "text": segment.text,
        "typed": segment.is_typed,
        "words": [word.model_dump() for word in segment.words],
    }


def _cue(segment: Segment) -> str:
    end_s = max(segment.end_s, segment.start_s + SHORTEST_CUE_S)
    voice = "v.typed" if segment.is_typed else "v"
    times = f"{_timestamp(segment.start_s)} --> {_timestamp(end_s)}"
    return f"{times}\n<{voice} {_escaped(segment.name)}>{_escaped(segment.text)}</v>\n"


def _timestamp(seconds: float) -> str:
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}"


def _escaped(text: str) -> str:
    """Return text for a cue: without line ends, which would end it, and without marks."""
    one_line = " ".join(text.split())
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
