"""Forced tokens in the batch: silence, lines, forgetting."""

import numpy as np
import pytest

from protocol.personas import Persona
from protocol.sampling import Sampling
from tests.engine.test_step import GREEDY, sounds, talk
from tests.engine.tiny import TEXT_CARD, force, tiny_lm, tiny_mimi
from worker.engine.arrays import Pcm, Tokens
from worker.engine.conversation import say
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.step import MoshiStep

PAD = 3
PIECES = tuple(None if token in (0, PAD) else f"▁{token}" for token in range(TEXT_CARD))


def encode(text: str) -> list[int]:
    """Return one token per letter, each of which is a word."""
    return [4 + ord(letter) % (TEXT_CARD - 4) for letter in text]


def make(slots: int = 2, context: int = 60) -> MoshiStep:
    """Return a step over a small Moshi that can say lines."""
    reading = PromptReading(encode, PIECES)
    return MoshiStep(tiny_lm(context=context), tiny_mimi(), slots, reading=reading)


def columns(step: MoshiStep, slot: int, heard: Pcm) -> list[list[int]]:
    """Return a slot's own text and codes in each column while it hears these frames."""
    read: list[list[int]] = []
    for frame in heard:
        step.run(np.broadcast_to(frame, (step.capacity, 1920)), np.arange(step.capacity) == slot)
        read.append(step.columns[slot, :9].tolist())
    return read


def test_a_silenced_slot_reads_padding_and_silence() -> None:
    """From the frame after `hush` on a slot's columns have padding and silence, until it ends."""
    heard = sounds(41, 16)[:, 0]
    step = make()
    step.join(1, GREEDY)
    silence = step.forcing.prompts.silence.tolist()
    columns(step, 1, heard[:5])
    step.hush(1, True)
    hushed = columns(step, 1, heard[5:10])
    step.hush(1, False)
    free = columns(step, 1, heard[10:])

    # A step reads what earlier steps made: codebook 0 of the last frame, others of the one before.
    assert hushed[0][:2] != [PAD, silence[0]]
    assert [read[:2] for read in hushed[1:]] == [[PAD, silence[0]]] * 4
    assert hushed[1][2:] != silence[1:]
    assert [read[2:] for read in hushed[2:]] == [silence[1:]] * 3
    assert free[0] == [PAD, *silence]
    assert free[1][0] != PAD
    assert free[1][2:] == silence[1:]
    assert free[2][2:] != silence[1:]


def test_a_silenced_slot_still_has_unforced_text() -> None:
    """While a silenced slot's text is padding, `unforced_text` has the words it would have said."""
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


def test_silencing_a_slot_changes_no_other_slot() -> None:
    """A slot says the same whether or not another slot is silenced."""
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
    """Return the words that a slot says."""
    return [token for token in talk(step, slot, heard).wrote if token not in (PAD, 0)]


def contains(tokens: list[int], words: list[int]) -> bool:
    """Return whether the words were said one after another, with no other between them."""
    return any(tokens[n : n + len(words)] == words for n in range(len(tokens)))


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a line wait for a pause for 10 frames only: a random model hardly ever pauses."""
    monkeypatch.setattr(say, "PATIENCE_FRAMES", 10)


@pytest.mark.usefixtures("short_patience")
def test_a_slot_says_what_it_is_given() -> None:
    """A line is said word by word, and its end is reported as whole."""
    step, ends = make(1), list[bool]()
    step.join(0, Persona(name="anna", label="Anna", sampling=Sampling(seed=1)))
    step.say(0, "hi", ends.append)
    tokens = said(step, 0, sounds(44, 40)[:, 0])

    assert contains(tokens, encode("hi"))
    assert ends == [True]


@pytest.mark.usefixtures("short_patience")
def test_the_line_of_a_session_that_leaves_is_not_said() -> None:
    """The line of a session that leaves is cut off, and the slot's next session never says it."""
    step, ends = make(1), list[bool]()
    step.join(0, GREEDY)
    step.say(0, "hi", ends.append)
    talk(step, 0, sounds(45, 2)[:, 0])
    step.leave(0)
    step.join(0, GREEDY)

    assert ends == [False]
    assert not contains(said(step, 0, sounds(46, 40)[:, 0]), encode("hi"))


def test_forced_tokens_follow_a_session_that_moves() -> None:
    """A silenced session is still silent in the slot to which it moves."""
    step = make()
    step.join(1, GREEDY)
    step.hush(1, True)
    talk(step, 1, sounds(47, 4)[:, 0])
    step.move(1, 0)
    wrote = talk(step, 0, sounds(48, 5)[:, 0]).wrote
    step.hush(0, False)

    assert wrote == [PAD] * 5
    assert talk(step, 0, sounds(49, 6)[:, 0]).wrote[-1] != PAD


@pytest.mark.usefixtures("short_patience")
def test_dropped_lines_are_not_said() -> None:
    """A line that is dropped before it has begun is never said, and `done` is called."""
    step, ends = make(1), list[bool]()
    step.join(0, GREEDY)
    step.say(0, "hi", ends.append)
    step.drop_lines(0)

    assert ends == [False]
    assert not contains(said(step, 0, sounds(50, 40)[:, 0]), encode("hi"))


def positions(step: MoshiStep) -> Tokens:
    """Return how many positions each slot's LM state has read."""
    return step.memory.tensors["lm.transformer.offset"].numpy().copy()


def test_forget_empties_the_memory_without_missing_a_frame() -> None:
    """After `forget`, at a pause, a slot has a new LM state, and every frame was answered."""
    step = make(1)
    step.join(0, GREEDY)
    quiet = np.zeros((30, 1920), dtype=np.float32)
    talk(step, 0, sounds(51, 20)[:, 0])
    step.hush(0, True)  # so that it pauses
    step.forget(0)
    answers = 0
    for frame in quiet:
        answers += len(talk(step, 0, frame[None]).wrote)
        step.work(1.0)

    assert answers == 30
    assert positions(step)[0] < 32


def test_a_slot_is_looked_at_only_while_something_is_forced() -> None:
    """Silence and lines make their own slot due, until their last token is used."""
    heard = sounds(47, 40)[:, 0]
    step = make()
    step.join(1, GREEDY)
    assert due(step) == []
    step.hush(1, True)
    columns(step, 1, heard[:3])
    assert due(step) == [1]
    step.move(1, 0)
    assert due(step) == [0]
    step.hush(0, False)
    columns(step, 0, heard[3:6])
    assert due(step) == []
    step.say(0, "ab", lambda was_whole: None)
    assert due(step) == [0]
    columns(step, 0, heard[6:])
    assert due(step) == [0]  # the line waits for a pause
    step.leave(0)
    assert due(step) == []


def test_a_line_begins_at_once_after_a_long_rest() -> None:
    """Frames without a word count as the pause before a line, in the slot of their session."""
    heard = sounds(48, 24)[:, 0]
    step = make()
    step.join(1, GREEDY)
    force(step, 1, text=PAD)
    columns(step, 1, heard[:10])
    step.move(1, 0)
    columns(step, 0, heard[10:20])
    force(step, 0)
    step.say(0, "a", lambda was_whole: None)

    end_of_pad = step.weights.lm.end_of_text_padding_id
    assert [read[0] for read in columns(step, 0, heard[20:23])][1:] == [end_of_pad, *encode("a")]


def due(step: MoshiStep) -> list[int]:
    """Return the slots that the next step looks at."""
    return sorted(step.forcing._due)  # pyright: ignore[reportPrivateUsage]
