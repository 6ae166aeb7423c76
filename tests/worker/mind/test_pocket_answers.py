"""The pocket Moshi's fixed lines: it answers what was asked, in a real room with Whisper."""

from functools import partial

import numpy as np
import pytest

from harness.person import Person, eventually, person
from harness.recordings import QUESTIONS, RATE_HZ, recording
from harness.rooms import asking_for, room_events
from harness.stack import Stack
from mind.words.lines import FixedAnswers
from protocol.config.settings import PROJECT
from protocol.events import MindSaidEvent
from protocol.minds import LinesMind, load_minds
from protocol.personas import load_catalogue
from training.repertoire import PERSONA_VOICES
from worker.engine.conversation.repertoire import read_repertoire
from worker.engine.files import pocket
from worker.engine.files.model_files import find_model

PERSONAS = PROJECT / "personas"
MINDS = load_minds(sorted(PERSONAS.glob("*.toml")), pocket.NAME)
INTENTS = 20  # that each persona answers
ASKED = ("name", "tired", "begin")
LEAST_RIGHT = 2  # of them, where a busy machine garbles one
EVERYDAY = (
    "Hi!", "Hey, how's it going?", "What's up?", "Who am I talking to?", "Hello, can you hear me?",
    "Is anybody there?", "Are you still there?", "What's your job?", "I need some help.", "Thanks.",
    "Thank you so much.", "Can I ask you something?", "Are you an AI?", "Tell me a joke.", "Stop!",
    "Wait a second.", "Hold on.", "Never mind.", "No, I meant something else.", "See you later.",
    "Talk to you later.",
)  # fmt: skip
QUIET_S = 2.0


def fixed(persona: str) -> LinesMind:
    """Return the fixed lines of a persona."""
    mind = MINDS[persona]
    assert isinstance(mind, LinesMind)
    return mind


def _answer(mind: LinesMind, words: str) -> str | None:
    return FixedAnswers(mind).answer(words)


@pytest.mark.parametrize("persona", PERSONA_VOICES)
def test_every_persona_answers_with_sentences_that_it_can_say(persona: str) -> None:
    """Each answers its examples, everyday words and 20 intents with what its voice can say."""
    files = find_model(pocket.NAME, lambda _: None)
    repertoire = read_repertoire(files.config, "")
    assert repertoire is not None
    asked = load_catalogue(PERSONAS)[persona]
    can_say = repertoire.of(asked.voice)
    mind = fixed(persona)
    answer = partial(_answer, mind)
    scripted = [line for line in mind.lines if not line.repeat]

    assert len(mind.lines) >= INTENTS
    assert [each for each in (*asked.examples, *EVERYDAY) if not answer(each)] == []
    assert {sentence for line in scripted for sentence in line.say} <= set(can_say)
    assert [line.when[0] for line in scripted if answer(line.when[0]) not in line.say] == []


async def _said_by_mind(stack: Stack, room: str) -> list[str]:
    """Return the sentences that the persona's mind has said."""
    events = await room_events(stack, room)
    return [each.text for each in events if isinstance(each, MindSaidEvent)]


async def _ask(ann: Person, name: str) -> None:
    """Ask a recorded question, and wait until the persona's answer is over."""
    who = ann.personas[0].identity
    ann.speech = np.pad(recording(name)[RATE_HZ:-RATE_HZ], (0, RATE_HZ // 4))
    await eventually(lambda: ann.speech is None, "it is said")
    begin = ann.timeline.now
    await eventually(lambda: ann.timeline.spoke_s(who, begin) > 0.3, f"an answer to {name}")
    pieces = round(QUIET_S * 100)

    def silent() -> bool:
        return not ann.timeline.voiced(who, ann.timeline.now - pieces).any()

    await eventually(silent, "silence")


async def test_a_spoken_question_gets_the_line_that_fits(pocket_with_whisper: Stack) -> None:
    """Most questions get the fixed line that fits; one that fits none gets no fixed line."""
    await pocket_with_whisper.recogniser_is_ready()
    mind = fixed("assistant")
    async with person(pocket_with_whisper.url, asking_for("assistant")) as ann:
        await eventually(lambda: bool(ann.heard), "the persona is there")
        for name in (*ASKED, "elephants"):
            await _ask(ann, name)
        said = await _said_by_mind(pocket_with_whisper, ann.room.name)
    await pocket_with_whisper.slots_used_become(0)

    wanted = {name: FixedAnswers(mind).answer(QUESTIONS[name]) for name in ASKED}
    assert sum(line in said for line in wanted.values()) >= LEAST_RIGHT, (wanted, said)
    assert len(said) <= len(ASKED), said
