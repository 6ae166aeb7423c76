"""The transcript of a session, and a person's answer, out of its events. Pure."""

from collections.abc import Iterable
from typing import Any

SETTLED_S = 1.5  # without a word, a person's answer is over


def transcript(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every segment in the order in which it began, with its latest text."""
    lines: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["type"] == "transcript" and event["text"].strip():
            line = lines.setdefault(event["segment_id"], {"who": _speaker(event)})
            line |= {"text": event["text"].strip(), "final": event["final"], "at_s": event["at_s"]}
    return list(lines.values())


def answer(events: Iterable[dict[str, Any]]) -> str:
    """Return people's words; "" for none, or while a person goes on."""
    lines = transcript(each for each in events if not each.get("persona_id"))
    if not all(line["final"] for line in lines):
        return ""
    return " ".join(line["text"] for line in lines)


def _speaker(event: dict[str, Any]) -> str:
    return event["persona"] or f"person {event['identity']}"
