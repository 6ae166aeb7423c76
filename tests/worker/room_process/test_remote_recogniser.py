"""The recogniser as rooms of another process use it: sound there, words back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.servers import wait_until
from tests.worker.room_process.joined import Joined, joined
from worker.engine.arrays import Pcm
from worker.engine.echo import echo_model
from worker.frames import FRAME_SAMPLES, SILENCE
from worker.hearing.recogniser import HeardWords, OnEnd, OnWords
from worker.room_process.messages import Listen, Sound, StopListening
from worker.room_process.remote_recogniser import ASK_AGAIN_S

LOUD = np.full(FRAME_SAMPLES, 0.5, dtype=np.float32)


class Listened:
    """A listening that a test lets hear."""

    def __init__(self, on_words: OnWords, likely: str, on_end: OnEnd) -> None:
        self.on_words, self.likely, self.on_end = on_words, likely, on_end
        self.pushed: list[Pcm] = []
        self.is_closed = False

    def push(self, pcm: Pcm) -> None:
        """Keep a frame."""
        self.pushed.append(pcm)

    def close(self) -> None:
        """Keep that it is closed."""
        self.is_closed = True


class Recogniser:
    """Listens to so many people at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.opened: list[Listened] = []

    def open(self, on_words: OnWords, likely: str, on_end: OnEnd) -> Listened | None:
        """Listen to one more person, or refuse."""
        if sum(not each.is_closed for each in self.opened) == self.most:
            return None
        self.opened.append(Listened(on_words, likely, on_end))
        return self.opened[-1]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def words(text: str, *, is_final: bool = False) -> HeardWords:
    """Return words as a recogniser hears them."""
    return HeardWords("SG_1", text, is_final, 0.0, 1.0)


def until(holds: Callable[[], bool]) -> None:
    """Wait for the other end."""
    wait_until(holds, "the other end takes it", 10.0, 0.005)


def listens(both: Joined) -> list[Any]:
    """Return the questions of the process of rooms so far."""
    return [each for each in both.asked if isinstance(each, Listen)]


def test_words_and_the_end_of_a_listening_come_back() -> None:
    """Words come in their order to the person that they are of, and the end after the last."""
    recogniser, got = Recogniser(2), list[Any]()
    with joined(echo_model(1), recogniser) as both:
        ann = both.recogniser.open(got.append, "Good morning.", lambda: got.append("ann's end"))
        bob = both.recogniser.open(lambda each: got.append(("bob", each)), "", lambda: None)
        assert ann is not None and bob is not None
        here, there = recogniser.opened
        here.on_words(words("good"))
        there.on_words(words("bye"))
        ann.close()
        until(lambda: here.is_closed)
        here.on_words(words("good day", is_final=True))
        here.on_end()
        until(lambda: "ann's end" in got)
        here.on_words(words("too late"))
        there.on_words(words("bye bye"))
        until(lambda: len(got) == 5)

    assert (here.likely, there.is_closed) == ("Good morning.", False)
    bobs = [each for each in got if isinstance(each, tuple)]
    anns = [each for each in got if each not in bobs]
    assert anns == [words("good"), words("good day", is_final=True), "ann's end"]
    assert bobs == [("bob", words("bye")), ("bob", words("bye bye"))]


def test_sound_reaches_the_recogniser_and_silence_costs_little() -> None:
    """Frames arrive as they were pushed; one of silence crosses as None."""
    recogniser = Recogniser(1)
    with joined(echo_model(1), recogniser) as both:
        listening = both.recogniser.open(lambda _: None, "", lambda: None)
        assert listening is not None
        for each in (LOUD, SILENCE, LOUD / 2):
            listening.push(each)
        [opened] = recogniser.opened
        until(lambda: len(opened.pushed) == 3)

    crossed = [each.pcm for each in both.asked if isinstance(each, Sound)]
    assert [each is None for each in crossed] == [False, True, False]
    for got, pushed in zip(opened.pushed, (LOUD, SILENCE, LOUD / 2), strict=True):
        assert np.array_equal(got, pushed)


def test_a_recogniser_that_refuses_is_asked_again_after_a_while() -> None:
    """Who is refused hears None, and so does everybody for a second without a question."""
    recogniser, clock = Recogniser(0), Clock()
    with joined(echo_model(1), recogniser, clock) as both:

        def is_listening() -> bool:
            return both.recogniser.open(lambda _: None, "", lambda: None) is not None

        assert [is_listening() for _ in range(3)] == [False] * 3
        assert len(listens(both)) == 1
        recogniser.most = 1
        clock.now_s += ASK_AGAIN_S * 0.9
        assert not is_listening()
        clock.now_s += ASK_AGAIN_S * 0.2
        assert is_listening()
        assert len(listens(both)) == 2


def test_a_listening_whose_answer_did_not_come_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the answer comes too late, the recogniser does not listen to nobody for ever."""
    monkeypatch.setattr("worker.room_process.asking.ANSWER_WITHIN_S", 0.0)
    recogniser = Recogniser(1)
    with joined(echo_model(1), recogniser) as both:
        assert both.recogniser.open(lambda _: None, "", lambda: None) is None
        until(lambda: any(isinstance(each, StopListening) for each in both.asked))

    assert [each.is_closed for each in recogniser.opened] == [True]


def test_the_end_of_the_process_ends_its_listenings() -> None:
    """The recogniser hears no more of people whose process of rooms has ended."""
    recogniser = Recogniser(2)
    with joined(echo_model(1), recogniser) as both:
        for _ in range(2):
            both.recogniser.open(lambda _: None, "", lambda: None)
        both.listenings.close()

    assert [each.is_closed for each in recogniser.opened] == [True, True]
