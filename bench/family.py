"""Run two people and six personas in one room for long, as one of them hears it. For `bench.soak`.

The people say something each few seconds, so that the personas' talk goes on; a persona that was
not heard for long is addressed by its name.
"""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from livekit import rtc

from bench.visits import counted
from harness.census import Held, rss_mib
from harness.person import Person, eventually, person
from harness.recordings import speech
from harness.rooms import SIX, all_free, asking_for, in_talk
from harness.stack import Stack
from protocol import wire

ROOM = "soak"
SAY_EVERY_S = 8.0
SAY_S = 1.0
ADDRESS_EVERY = 3  # times that a person speaks
OVERLAP_S = 0.2  # what two voices may share at a change of the floor
LIMIT_MIB = 8 * 1024


@dataclass
class FamilyTalk:
    """The results."""

    minutes: float
    overlaps_s: list[float] = field(default_factory=list)
    speakers: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0
    unnamed: int = 0
    rss_most_mib: float = 0.0
    skew_s: float = 0.0
    worker: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Held] = field(default_factory=dict)
    after: dict[str, Held] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the row of the table."""
        return {
            "minutes": self.minutes,
            "longest overlap ms": round(max(self.overlaps_s, default=0.0) * 1000),
            "over 200 ms": sum(each > OVERLAP_S for each in self.overlaps_s),
            "lines": self.lines,
            "without speaker": self.unnamed,
            "rss most MiB": round(self.rss_most_mib),
            "limit MiB": LIMIT_MIB,
            **self.worker,
            "clock skew ms": round(self.skew_s * 1000),
        }


async def talk(stack: Stack, minutes: float) -> FamilyTalk:
    """Join everyone, let them talk, and check what Ann heard and read."""
    found, turns = FamilyTalk(minutes), Counter[str]()
    request = asking_for(*SIX) | {"room_name": ROOM}
    async with (
        person(stack.url, request) as ann,
        person(stack.url, {"room_name": ROOM}) as bob,
    ):
        await in_talk(ann, len(SIX))
        await eventually(lambda: len(ann.heard) == len(SIX) + 1, "all voices are there")

        def took_floor(changed: dict[str, str], who: rtc.Participant) -> None:
            turns[who.identity] += changed.get(wire.ATTR_FLOOR) == "true"

        ann.room.on("participant_attributes_changed", took_floor)
        found.before = counted(stack)
        counters = await stack.worker_metrics()
        await converse(stack, found, ann, bob)
        found.after = counted(stack)
        found.worker = await worker_figures(stack, counters)
        look_back(found, ann, turns)
    await all_free(stack)
    return found


async def converse(stack: Stack, found: FamilyTalk, ann: Person, bob: Person) -> None:
    """Let Ann and Bob speak in turn, and sometimes address the persona that was heard least."""
    until_s = time.monotonic() + found.minutes * 60
    for turn, speaker in enumerate(itertools.cycle((ann, bob))):
        if time.monotonic() >= until_s:
            return
        speaker.speech = speech(SAY_S)
        if turn % ADDRESS_EVERY == ADDRESS_EVERY - 1:
            least = min(ann.personas, key=lambda each: ann.timeline.spoke_s(each.identity))
            await ann.room.local_participant.send_text(
                f"{least.name}, what do you say?", topic=wire.CHAT_TOPIC
            )
        found.rss_most_mib = max(found.rss_most_mib, rss_mib(stack))
        await asyncio.sleep(min(SAY_EVERY_S, max(until_s - time.monotonic(), 0.0)))


def look_back(found: FamilyTalk, ann: Person, turns: Counter[str]) -> None:
    """Compute overlaps, lines and each persona's share of the time."""
    names = {each.identity: each.attributes[wire.ATTR_PERSONA] for each in ann.personas}
    found.overlaps_s = ann.timeline.overlaps_s(names)
    found.skew_s = ann.timeline.skew_s()
    found.lines = len(ann.messages)
    found.unnamed = sum(each.persona != names.get(each.identity) for each in ann.messages)
    found.speakers = [
        {
            "persona": name,
            "had the floor": turns[identity],
            "heard s": round(ann.timeline.spoke_s(identity), 1),
            "lines": sum(each.identity == identity for each in ann.messages),
        }
        for identity, name in names.items()
    ]


async def worker_figures(stack: Stack, before: dict[str, float]) -> dict[str, Any]:
    """Return the current step times, and the gaps and skips since."""
    async with httpx.AsyncClient(trust_env=False) as http:
        heartbeat = (await http.get(stack.worker_url)).json()
    now = await stack.worker_metrics()
    names = {f"voice {name}": f"moshi_voice_{name}_total" for name in ("gaps", "skips")}
    since = {name: round(now[key] - before[key]) for name, key in names.items()}
    return {"step p99 ms": heartbeat["step_p99_ms"], **since}
