"""The words of a recording by the clock of its sound: entries of JSON, and WebVTT cues. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from protocol.wire import WordTime

SHORTEST_CUE_S = 0.5  # a typed line has no length; a cue without one is never shown
WEBVTT = "WEBVTT\n"


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one participant, in seconds since the part began."""

    start_s: float
    end_s: float
    identity: str
    name: str
    persona: str  # its name; empty: a person
    text: str
    typed: bool = False
    words: tuple[WordTime, ...] = ()  # of a person, where the recogniser tells their times


def entry(segment: Segment) -> dict[str, Any]:
    """Return a segment as the JSON has it."""
    return asdict(segment) | {"words": [word.model_dump() for word in segment.words]}


def cues(entries: Iterable[dict[str, Any]]) -> str:
    """Return each entry as a cue with its speaker's name, to follow `WEBVTT` or other cues."""
    return "".join(f"\n{_cue(each)}" for each in entries)


def _cue(said: dict[str, Any]) -> str:
    end_s = max(said["end_s"], said["start_s"] + SHORTEST_CUE_S)
    voice = "v.typed" if said["typed"] else "v"
    times = f"{_timestamp(said['start_s'])} --> {_timestamp(end_s)}"
    return f"{times}\n<{voice} {_escaped(said['name'])}>{_escaped(said['text'])}</v>\n"


def _timestamp(seconds: float) -> str:
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}"


def _escaped(text: str) -> str:
    """Return text for a cue: without line ends, which would end it, and without marks."""
    one_line = " ".join(text.split())
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
