"""Measure the product's own part of a mind's answer: all but the language model's time.

Starts the product with the pocket Moshi and a scripted endpoint that answers at once. A person
types a question again and again; a spoken one takes the same way from its final words on. The
columns: from the typed line to the request at the endpoint; from the endpoint's answer to the first
word, and to the first voiced frame, as the room's events have them.

    python -m bench.mind --turns 20
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from harness.language_model import Reply, Request, says, scripted_model
from harness.person import eventually, person
from harness.rooms import room_events
from harness.servers import free_port
from harness.stack import Stack, start_stack
from protocol import wire
from protocol.config.settings import PROJECT
from protocol.events import StateEvent, TranscriptEvent

ANSWER = "Hello, how can I help you?"  # the pocket Moshi has learned it
TURN_S = 8.0  # for the question, the answer and a pause
MIND = '\n[mind]\nkind = "chat"\n'


@dataclass
class Times:
    """When each turn was typed, asked at the endpoint, and answered there; seconds of the epoch."""

    typed_s: list[float] = field(default_factory=list)
    asked_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)

    def reply(self, _: Request) -> Reply:
        """Answer at once, and note when."""
        self.asked_s.append(time.time())

        async def send(stream: web.StreamResponse, asked: dict[str, Any]) -> None:
            await says(ANSWER, piece=len(ANSWER) * 2)(stream, asked)
            self.answered_s.append(time.time())

        return send


async def talk(stack: Stack, port: int, turns: int) -> list[tuple[float, float, float]]:
    """Ask so many times in one room; return the three times of each turn, in milliseconds."""
    times = Times()
    async with scripted_model(port) as model, person(stack.url) as ann:
        model.otherwise = times.reply
        await eventually(lambda: bool(ann.heard), "the persona is there")
        for _ in range(turns):
            await asyncio.sleep(TURN_S)
            times.typed_s.append(time.time())
            await ann.room.local_participant.send_text("Are you there?", topic=wire.CHAT_TOPIC)
        await asyncio.sleep(TURN_S)
        events = await room_events(stack, ann.room.name)
    words_s = [e.at_s for e in events if isinstance(e, TranscriptEvent) and e.persona]
    sounds_s = [e.at_s for e in events if isinstance(e, StateEvent) and e.state == "speaking"]
    return [
        (asked - typed, _first(words_s, answered) - answered, _first(sounds_s, answered) - answered)
        for typed, asked, answered in zip(
            times.typed_s, times.asked_s, times.answered_s, strict=True
        )
    ]


def _first(moments_s: list[float], after_s: float) -> float:
    return next((each for each in moments_s if each > after_s), float("nan"))


def main() -> None:
    """Print the median and the worst of the turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20)
    turns, port = parser.parse_args().turns, free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        persona = (PROJECT / "personas" / "assistant.toml").read_text(encoding="utf-8")
        without_mind = persona.partition("\n[mind]")[0]
        (folder / "assistant.toml").write_text(without_mind + MIND, encoding="utf-8")
        with start_stack(
            folder,
            model="pocket",
            capacity=1,
            personas_dir=str(folder),
            mind_url=f"http://127.0.0.1:{port}/v1",
            mind_model="scripted",
        ) as stack:
            measured = asyncio.run(talk(stack, port, turns))
    print("| | median ms | worst ms |\n|---|---|---|")
    names = ("line → endpoint", "endpoint → first word", "endpoint → first sound")
    for label, column in zip(names, zip(*measured, strict=True), strict=True):
        ms = sorted(round(1000 * each) for each in column)
        print(f"| {label} | {statistics.median(ms):.0f} | {ms[-1]} |")


if __name__ == "__main__":
    main()
