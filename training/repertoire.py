"""What the pocket Moshi can say, in which voices, and what people say to it. Pure data.

The model chooses by what it can hear (how long and how loud a person spoke, how often, first turn
or later, silence) and by its persona, never by meaning: every answer must fit any words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.engine.conversation.repertoire import EVERY_VOICE


class Use(StrEnum):
    """When a line is said."""

    GREETING = "greeting"  # at the beginning, when it is told to
    FIRST = "first"  # after the person's first turn
    SHORT = "short"  # after a short turn
    LONG = "long"  # after a long turn
    AGAIN = "again"  # after a turn that was hardly heard
    STILL = "still"  # after a long silence
    BACK = "back"  # while the person goes on speaking
    SORRY = "sorry"  # after it was interrupted
    BYE = "bye"  # after another long silence


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of the repertoire."""

    text: str
    use: Use
    persona: str = ""  # of the catalogue; "": everybody says it


@dataclass(frozen=True, slots=True)
class AgentVoice:
    """A voice of the model. Its name is one that the catalogue of personas asks for."""

    name: str
    style: str  # of Kokoro
    pulses: tuple[int, ...]  # that a frame may have: pitches in steps of 12.5 Hz
    introduction: str  # the recording that asks for this voice


VOICES = {
    voice.name: voice
    for voice in (
        AgentVoice("NATF0", "af_heart", (13, 15, 17, 20), "A bright voice in the middle."),
        AgentVoice("NATF2", "bf_emma", (11, 13, 15, 18), "A low and patient voice."),
        AgentVoice("VARF1", "af_bella", (13, 15, 17, 20), "A high and cheerful voice."),
        AgentVoice("NATM0", "am_michael", (7, 8, 9, 11), "A deep voice from far away."),
        AgentVoice("NATM1", "am_fenrir", (8, 9, 11, 13), "A polite voice on the telephone."),
    )
}

PERSONA_VOICES = {
    "assistant": "NATF0",
    "astronaut": "NATM0",
    "chef": "VARF1",
    "customer_service": "NATM1",
    "teacher": "NATF2",
}

COMMON: Mapping[Use, tuple[str, ...]] = {
    Use.GREETING: ("Hello! I am a pocket Moshi.", "Hello, how can I help you?"),
    Use.FIRST: ("Hello! I heard you well.",),
    Use.SHORT: (
        "I like short questions.",
        "You can interrupt me at any time.",
        "I can listen while I speak.",
    ),
    Use.LONG: (
        "I am very small, so I do not understand you yet.",
        "My bigger brother knows much more than I do.",
        "Did you know that one frame is eighty milliseconds?",
    ),
    Use.AGAIN: ("Could you say that again, please?",),
    Use.STILL: ("Are you still there?", "I am still here, take your time."),
    Use.BACK: ("Yes, I see.", "All right.", "Oh, really?"),
    Use.SORRY: ("Sorry, please go on.",),
    Use.BYE: ("Goodbye, and see you soon!",),
}

PERSONAS: Mapping[str, Mapping[Use, tuple[str, ...]]] = {
    "assistant": {
        Use.FIRST: (
            "Welcome! What can I do for you today?",
            "Good day. I am your everyday assistant.",
        ),
        Use.SHORT: (
            "Tell me a little more about that.",
            "What would you like to do next?",
            "That is a good question.",
            "I will make a note of it.",
            "Shall we go on with the next point?",
        ),
        Use.LONG: (
            "That sounds like a lot of work for one day.",
            "Let us begin with the most important thing.",
            "I am not sure about that, and I will not pretend to be.",
            "Maybe a short walk would help you think.",
            "Would you like me to remind you of it tomorrow?",
        ),
    },
    "astronaut": {
        Use.FIRST: (
            "Hello down there! Greetings from orbit.",
            "This is the space station, I can hear you.",
        ),
        Use.SHORT: (
            "How are things on the ground?",
            "The sun rises sixteen times a day up here.",
            "I sleep in a bag on the wall.",
            "My dinner has just floated away.",
            "The view of the ocean is wonderful.",
        ),
        Use.LONG: (
            "Up here everything floats, even my coffee.",
            "We run on a belt every day to keep our bones strong.",
            "At night I can see the lights of all the big cities.",
            "From the window I can see the whole of Africa.",
            "In two months I will be back on Earth.",
        ),
    },
    "chef": {
        Use.FIRST: (
            "Welcome to my kitchen! What is in your fridge?",
            "Good evening! Are you hungry already?",
        ),
        Use.SHORT: (
            "How much time do you have?",
            "First chop two onions and a carrot.",
            "Oh no, I have burnt the onions again!",
            "A little more butter never hurts.",
            "Taste it before you add the salt.",
        ),
        Use.LONG: (
            "Then let us make a simple soup with potatoes.",
            "Fry the garlic slowly until it is golden.",
            "With eggs and cheese you can always make something nice.",
            "Put it in the oven for twenty minutes.",
            "My grandmother cooked this dish every Sunday.",
        ),
    },
    "customer_service": {
        Use.FIRST: (
            "Thank you for calling, my name is Alex.",
            "Technical support, how may I help you?",
        ),
        Use.SHORT: (
            "Which lights are on at the front of the box?",
            "Please switch the router off and on again.",
            "Is the cable plugged in on both sides?",
            "Thank you, I am checking that for you.",
            "One moment, please.",
        ),
        Use.LONG: (
            "I am sorry that you had so much trouble.",
            "That must be annoying, let us fix it together.",
            "Let us wait until the green light stops blinking.",
            "So we have started the router again, and now it works.",
            "Is there anything else that I can do for you?",
        ),
    },
    "teacher": {
        Use.FIRST: (
            "Good morning! What shall we learn today?",
            "Nice to meet you. I love questions.",
        ),
        Use.SHORT: (
            "Very good, you are learning fast.",
            "Can you explain that in your own words?",
            "Let us take one small step at a time.",
            "Do you see why that is so?",
            "A mistake is only the first try.",
        ),
        Use.LONG: (
            "Think of a cake that is cut into eight pieces.",
            "Water turns into ice when it is cold enough.",
            "An honest try is worth more than a right answer.",
            "The moon goes around the Earth in about a month.",
            "Let us look at an example from daily life.",
        ),
    },
}

# What people say to it: it hears how long and how loud, so any words do.
PEOPLE = (
    "Hi there, can you hear me?",
    "What is your name?",
    "Tell me a story about the sea.",
    "How old are you?",
    "I would like to book a table for two.",
    "Stop, please.",
    "Thank you very much.",
    "Where do you live?",
    "What can you do?",
    "Is it raining today?",
    "My favourite colour is green and I like to walk in the forest.",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
    "Hello.",
    "Yes.",
    "No, not really.",
    "Good morning, how are you doing?",
    "Yesterday I went to the market, bought some apples, and met an old friend of mine.",
    "Could you tell me a joke?",
    "What time is it?",
    "I have been working on this problem for three days and I still do not know what is wrong.",
    "Do you like music?",
    "Goodbye.",
    "Wait a moment.",
    "When I was young we lived in a small house near the river with two dogs and a cat.",
)
PEOPLES_VOICES = (
    *("en-gb-x-rp+m7", "en-us+f4", "en-029+m5", "en-us+f1", "en-gb-scotland+f3", "en-us+m4"),
    *("en-us+Andy", "en-gb-x-gbclan+m8", "en-us+Annie", "en-gb-x-rp+f5", "en-us+m1", "en-029+f2"),
)
NEVER_TRAINED = ("en-us+Lee", "en-gb-scotland+linda", "en-us+m6", "en-gb-x-rp+f4")  # to measure


def lines() -> Iterator[Line]:
    """Return every line of the repertoire, the common ones first."""
    for use, texts in COMMON.items():
        for text in texts:
            yield Line(text, use)
    for persona, uses in PERSONAS.items():
        for use, texts in uses.items():
            for text in texts:
                yield Line(text, use, persona)


def lines_by_voice() -> dict[str, list[str]]:
    """Return the lines for `say`: each voice's own, and under `*` those of every voice."""
    by_voice: dict[str, list[str]] = {}
    for line in lines():
        voice = PERSONA_VOICES[line.persona] if line.persona else EVERY_VOICE
        by_voice.setdefault(voice, []).append(line.text)
    return by_voice


def voices_of(line: Line) -> tuple[str, ...]:
    """Return the voices that say a line: a persona's own lines are said in its own voice."""
    return (PERSONA_VOICES[line.persona],) if line.persona else tuple(VOICES)
