"""Recognition of people's frames in the gaps: rows, inboxes, and that voices come first."""

import itertools
import time

import numpy as np
import pytest
from prometheus_client import REGISTRY

from harness.servers import wait_until
from tests.engine.test_engine import PERSONA, FakeStep, pcm
from worker.engine.arrays import Mask, Pcm
from worker.engine.engine import Engine
from worker.engine.model import Model
from worker.engine.recognition.listeners import (
    INBOX_FRAMES,
    PATIENCE_TICKS,
    HeardFrame,
    Listener,
    Listeners,
    Recognition,
    RecognitionOut,
)
from worker.engine.slots import SlotFrame

FLUSH = 3
ALWAYS = 1.0


class FakeRecognition:
    """A step that answers a row with its sample times 100, plus its number of runs."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.runs = np.zeros(capacity, dtype=np.int64)
        self.masks: list[list[bool]] = []
        self.takes_s = 0.0

    def join(self, row: int) -> None:
        self.runs[row] = 0

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        time.sleep(self.takes_s)
        self.runs += exec_mask
        self.masks.append(exec_mask.tolist())
        text = (pcm[:, 0] * 100).astype(np.int64) + self.runs
        return RecognitionOut(text, np.zeros(self.capacity), exec_mask.copy())


def make(capacity: int = 2) -> tuple[FakeRecognition, Listeners]:
    """Return listeners over a fake step."""
    step = FakeRecognition(capacity)
    return step, Listeners(step, FLUSH)


def opened(listeners: Listeners) -> tuple[Listener, list[HeardFrame | None]]:
    """Open a row; return it with the frames that it delivers."""
    heard: list[HeardFrame | None] = []
    listener = listeners.open(heard.append)
    assert listener is not None
    return listener, heard


def tokens(heard: list[HeardFrame | None]) -> list[tuple[int, int]]:
    """Return the index and token of each frame."""
    return [(each.index, each.token) for each in heard if each is not None]


def test_frames_of_all_rows_are_recognised_in_order_and_together() -> None:
    """Two people's frames of one tick are one step."""
    step, listeners = make()
    anna, of_anna = opened(listeners)
    ben, of_ben = opened(listeners)
    for value in (1.0, 2.0):
        anna.push(pcm(value))
        ben.push(pcm(value + 4))
    assert listeners.use_gap(lambda: ALWAYS)

    assert tokens(of_anna) == [(0, 101), (1, 202)]
    assert tokens(of_ben) == [(0, 501), (1, 602)]
    assert step.masks == [[True, True], [True, True]]


def test_a_closed_row_ends_with_silence_and_is_free_again() -> None:
    """A closed row delivers its last frames and `None`, and then another person gets it."""
    _, listeners = make(1)
    anna, of_anna = opened(listeners)
    anna.push(pcm(1.0))
    anna.close()
    anna.push(pcm(9.0))
    assert listeners.open(of_anna.append) is None
    listeners.use_gap(lambda: ALWAYS)
    _, of_ben = ben = opened(listeners)
    ben[0].push(pcm(2.0))
    listeners.use_gap(lambda: ALWAYS)

    assert tokens(of_anna) == [(0, 101), (1, 2), (2, 3), (3, 4)]
    assert of_anna[-1] is None
    assert tokens(of_ben) == [(0, 201)]


def test_frames_that_wait_too_long_are_dropped_and_counted() -> None:
    """Only the latest `INBOX_FRAMES` are kept, and indexes show which are missing."""
    before = REGISTRY.get_sample_value("moshi_unrecognised_frames_total") or 0.0
    _, listeners = make()
    anna, heard = opened(listeners)
    for value in range(INBOX_FRAMES + 3):
        anna.push(pcm(float(value)))
    listeners.use_gap(lambda: ALWAYS)

    assert [index for index, _ in tokens(heard)] == list(range(3, INBOX_FRAMES + 3))
    assert REGISTRY.get_sample_value("moshi_unrecognised_frames_total") == before + 3


def test_a_step_that_would_take_too_long_is_put_off() -> None:
    """A step runs only where as much time is left as the last steps took."""
    step, listeners = make()
    step.takes_s = 0.02
    anna, heard = opened(listeners)
    anna.push(pcm(1.0))
    assert listeners.use_gap(lambda: ALWAYS)
    anna.push(pcm(1.0))

    assert not listeners.use_gap(lambda: 0.019)
    assert len(heard) == 1
    assert listeners.use_gap(lambda: 0.2)
    assert len(heard) == 2


def test_a_single_slow_step_puts_nothing_off() -> None:
    """One slow step among quick ones does not put later steps off."""
    step, listeners = make()
    anna, heard = opened(listeners)
    for takes_s in (0.0, 0.1, 0.0):
        step.takes_s = takes_s
        anna.push(pcm(1.0))
        assert listeners.use_gap(lambda: 0.05)
    assert len(heard) == 3


def test_after_a_second_without_a_step_the_shortest_time_counts() -> None:
    """After `PATIENCE_TICKS` gaps a step runs if its shortest time would fit."""
    step, listeners = make()
    anna, heard = opened(listeners)
    for takes_s in (0.0, 0.1, 0.1, 0.1):
        step.takes_s = takes_s
        anna.push(pcm(1.0))
        listeners.use_gap(lambda: ALWAYS)
    anna.push(pcm(1.0))
    tries = (listeners.use_gap(lambda: 0.05) for _ in itertools.count())

    assert next(n for n, ran in enumerate(tries) if ran) == PATIENCE_TICKS + 1
    assert len(heard) == 5


def test_a_failed_delivery_stops_no_other_row(caplog: pytest.LogCaptureFixture) -> None:
    """A row whose delivery raises an error does not keep frames from another row."""
    _, listeners = make()

    def broken(heard: HeardFrame | None) -> None:
        raise RuntimeError("the loop is closed")

    anna = listeners.open(broken)
    ben, of_ben = opened(listeners)
    assert anna is not None
    for listener in (anna, ben):
        listener.push(pcm(1.0))
    listeners.use_gap(lambda: ALWAYS)

    assert tokens(of_ben) == [(0, 101)]


def engine_with(step: FakeRecognition) -> tuple[Engine, Listeners]:
    """Return a running engine over fakes."""
    listeners = Listeners(step, FLUSH)
    recognition = Recognition("fake", listeners, str, bool, 3, 0, 0.5, has_pauses=False)
    model = Model("fake", FakeStep(2), (), (), recognition=recognition)
    failures: list[BaseException] = []
    engine = Engine(model, failures.append)
    engine.start()
    return engine, listeners


def test_people_are_recognised_without_any_persona() -> None:
    """The engine recognises people's frames while no session runs."""
    engine, listeners = engine_with(FakeRecognition(2))
    anna, heard = opened(listeners)
    anna.push(pcm(1.0))
    wait_until(lambda: len(heard) == 1, "a token")
    anna.close()
    wait_until(lambda: heard[-1] is None, "the end")
    engine.stop()


def test_voices_are_never_late_for_words() -> None:
    """A step of recognition longer than a tick is put off, and every voice's frame comes."""
    before = REGISTRY.get_sample_value("moshi_recognition_put_off_total") or 0.0
    step = FakeRecognition(2)
    engine, listeners = engine_with(step)
    anna, heard = opened(listeners)
    anna.push(pcm(1.0))
    step.takes_s = 0.1
    wait_until(lambda: len(heard) == 1, "the first token, whose time is unknown")
    frames: list[SlotFrame] = []
    occupant = engine.join(PERSONA, frames.append)
    due_s = time.monotonic()
    for tick in range(PATIENCE_TICKS):
        time.sleep(max(0.0, due_s + tick * 0.08 - time.monotonic()))
        anna.push(pcm(1.0))
        engine.push(occupant, pcm(1.0))
    wait_until(lambda: len(frames) == PATIENCE_TICKS, "every frame")
    engine.stop()

    assert len(step.masks) == len(heard) == 1
    assert (REGISTRY.get_sample_value("moshi_recognition_put_off_total") or 0.0) > before
