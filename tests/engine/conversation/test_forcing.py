"""Forcing in the batch: silence, lines, forgetting."""

import numpy as np
import pytest

from protocol.personas import Persona
from protocol.sampling import Sampling
from tests.engine.test_step import GREEDY, sounds, talk
from tests.engine.tiny import TEXT_CARD, tiny_lm, tiny_mimi
from worker.engine.arrays import Pcm, Tokens
from worker.engine.conversation import say
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.step import MoshiStep

PAD = 3
PIECES = tuple(None if token in (0, PAD) else f"▁{token}" for token in range(TEXT_CARD))


def encode(text: str) -> list[int]:
    """A tokenizer: one token per letter, every letter a word."""
    return [4 + ord(letter) % (TEXT_CARD - 4) for letter in text]


def make(slots: int = 2, context: int = 60) -> MoshiStep:
    """A step over a small Moshi that can be given words."""
    reading = PromptReading(encode, PIECES)
    return MoshiStep(tiny_lm(context=context), tiny_mimi(), slots, reading=reading)


def columns(step: MoshiStep, slot: int, heard: Pcm) -> list[list[int]]:
    """Return what a slot's model reads while it hears these frames: its own text and codes."""
    read: list[list[int]] = []
    for frame in heard:
        step.run(np.broadcast_to(frame, (step.capacity, 1920)), np.arange(step.capacity) == slot)
        read.append(step.columns[slot, :9].tolist())
    return read


def test_a_hushed_slot_is_silent_and_goes_on_listening() -> None:
    """Every frame from the hush on is padding and silence, and the first after it is not."""
    heard = sounds(41, 16)[:, 0]
    step = make()
    step.join(1, GREEDY)
    silence = step.forcing.prompts.silence.tolist()
    columns(step, 1, heard[:5])
    step.hush(1, True)
    hushed = columns(step, 1, heard[5:10])
    step.hush(1, False)
    free = columns(step, 1, heard[10:])

    # A step reads what the one before it made: codebook 0 of its own frame, the others of the last.
    assert hushed[0][:2] != [PAD, silence[0]]
    assert [read[:2] for read in hushed[1:]] == [[PAD, silence[0]]] * 4
    assert hushed[1][2:] != silence[1:]
    assert [read[2:] for read in hushed[2:]] == [silence[1:]] * 3
    assert free[0] == [PAD, *silence]
    assert free[1][0] != PAD
    assert free[1][2:] == silence[1:]
    assert free[2][2:] != silence[1:]


def test_a_hushed_slot_shows_what_it_would_have_said() -> None:
    """`unforced_text` goes on while the text is padding."""
    heard = sounds(42, 12)[:, 0]
    step = make(1)
    step.join(0, GREEDY)
    step.hush(0, True)
    unforced: set[int] = set()
    for frame in heard:
        out = step.run(frame[None], np.array([True]))
        if out.valid[0]:
            assert int(out.text[0]) == PAD
            unforced.add(int(out.unforced_text[0]))

    assert len(unforced - {PAD}) > 1


def test_hush_leaves_the_neighbour_alone() -> None:
    """The other slots say what they would have said."""
    heard = sounds(43, 12)[:, 0]
    calls: list[list[int]] = []
    for hushed in (False, True):
        step = make()
        step.join(0, GREEDY)
        step.join(1, GREEDY)
        step.hush(1, hushed)
        calls.append(talk(step, 0, heard, np.array([True, True])).wrote)

    assert calls[0] == calls[1]


def said(step: MoshiStep, slot: int, heard: Pcm) -> list[int]:
    """Words that a slot says."""
    return [token for token in talk(step, slot, heard).wrote if token not in (PAD, 0)]


def contains(tokens: list[int], words: list[int]) -> bool:
    """Whether the words were said one after another, with no other between them."""
    return any(tokens[n : n + len(words)] == words for n in range(len(tokens)))


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model hardly ever pauses, so it is soon interrupted."""
    monkeypatch.setattr(say, "PATIENCE_FRAMES", 10)


@pytest.mark.usefixtures("impatience")
def test_a_slot_says_what_it_is_given() -> None:
    """The text is said word by word, the model's own before and after, and its end is told."""
    step, ends = make(1), list[bool]()
    step.join(0, Persona(name="anna", label="Anna", sampling=Sampling(seed=1)))
    step.say(0, "hi", ends.append)
    tokens = said(step, 0, sounds(44, 40)[:, 0])

    assert contains(tokens, encode("hi"))
    assert ends == [True]


@pytest.mark.usefixtures("impatience")
def test_who_leaves_is_cut_off() -> None:
    """A text that was not said when its slot was left is reported as such, and never said."""
    step, ends = make(1), list[bool]()
    step.join(0, GREEDY)
    step.say(0, "hi", ends.append)
    talk(step, 0, sounds(45, 2)[:, 0])
    step.leave(0)
    step.join(0, GREEDY)

    assert ends == [False]
    assert not contains(said(step, 0, sounds(46, 40)[:, 0]), encode("hi"))


def test_a_moved_slot_is_told_on() -> None:
    """Forced tokens follow a session to another slot."""
    step = make()
    step.join(1, GREEDY)
    step.hush(1, True)
    talk(step, 1, sounds(47, 4)[:, 0])
    step.move(1, 0)
    wrote = talk(step, 0, sounds(48, 5)[:, 0]).wrote
    step.hush(0, False)

    assert wrote == [PAD] * 5
    assert talk(step, 0, sounds(49, 6)[:, 0]).wrote[-1] != PAD


@pytest.mark.usefixtures("impatience")
def test_dropped_lines_are_not_said() -> None:
    """A dropped line that has not begun is never said, and `done` is called."""
    step, ends = make(1), list[bool]()
    step.join(0, GREEDY)
    step.say(0, "hi", ends.append)
    step.drop_lines(0)

    assert ends == [False]
    assert not contains(said(step, 0, sounds(50, 40)[:, 0]), encode("hi"))


def positions(step: MoshiStep) -> Tokens:
    """Return how many positions each slot's LM state has read."""
    return step.memory.tensors["lm.transformer.offset"].numpy().copy()


def test_forget_is_a_fresh_memory_without_a_gap() -> None:
    """At a pause the LM state is as at the beginning; every frame goes on being answered."""
    step = make(1)
    step.join(0, GREEDY)
    quiet = np.zeros((30, 1920), dtype=np.float32)
    talk(step, 0, sounds(51, 20)[:, 0])
    step.hush(0, True)  # a pause for certain
    step.forget(0)
    answers = 0
    for frame in quiet:
        answers += len(talk(step, 0, frame[None]).wrote)
        step.work(1.0)

    assert answers == 30
    assert positions(step)[0] < 32
