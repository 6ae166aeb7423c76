"""A process of recognition that ends, or fails at a turn: what is told, and what goes on."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worker.hearing import whisper, whisper_process
from worker.hearing.messages import Dropped, Heard, Progress
from worker.hearing.recogniser import HeardWords
from worker.hearing.turns import RATE_HZ, SpokenTurn
from worker.hearing.whisper import STARTS_MOST, Whisper
from worker.hearing.whisper_process import RecognitionProcess, Waiting

WORDS = HeardWords("SG_1", "Good morning.", True, 0.0, 1.0)


class Processes:
    """Processes that tell some states and end, one after another."""

    def __init__(self, exit_code: int, *states: str) -> None:
        self.exit_code, self.states = exit_code, states
        self.started = 0
        self.lives = 1000

    def start(self, _: str) -> Any:
        """Start the next one; the recogniser is stopped where none is left."""
        self.started += 1
        if self.started > self.lives:
            self.whisper.stop()
        told = iter([Progress(state) for state in self.states])  # type: ignore[arg-type]
        return self, FakeConnection(told)

    def wait(self) -> int:
        return self.exit_code

    def kill(self) -> None:
        pass

    whisper: Whisper


class FakeConnection:
    def __init__(self, told: Any) -> None:
        self.told = told

    def recv(self) -> Progress:
        try:
            return next(self.told)
        except StopIteration:
            raise EOFError from None


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Processes], list[Progress]]:
    """Return how to run a recogniser over such processes to its end."""

    def run_all(processes: Processes) -> list[Progress]:
        told: list[Progress] = []
        monkeypatch.setattr(whisper, "_start", processes.start)
        processes.whisper = Whisper("tiny.en", told.append)
        thread = threading.Thread(target=processes.whisper._run)  # pyright: ignore[reportPrivateUsage]
        thread.start()
        thread.join(10.0)
        assert not thread.is_alive()
        return told

    return run_all


@pytest.mark.parametrize(
    ("exit_code", "why"),
    [
        (
            -signal.SIGKILL,
            "its process was ended by SIGKILL while it loaded the model, as where memory is short",
        ),
        (-signal.SIGILL, "its process was ended by SIGILL while it loaded the model"),
        (1, "its process ended with 1 while it began; its last lines say why"),
    ],
)
def test_a_process_that_dies_while_it_loads_is_told(
    run: Callable[[Processes], list[Progress]], exit_code: int, why: str
) -> None:
    """It cannot tell by itself, and its state would be that it loads for ever."""
    told = run(Processes(exit_code, "loading"))

    assert told == [Progress("loading"), Progress("failed", why)]


def test_what_a_process_told_of_its_failure_is_told_once(
    run: Callable[[Processes], list[Progress]],
) -> None:
    """A model that cannot be loaded has its own sentence."""
    assert run(Processes(0, "loading", "failed")) == [Progress("loading"), Progress("failed")]


def test_a_process_that_ends_soon_again_and_again_is_given_up(
    run: Callable[[Processes], list[Progress]],
) -> None:
    """So often, one soon after the other."""
    processes = Processes(1, "ready")
    told = run(processes)

    assert processes.started == STARTS_MOST
    assert told[-1] == Progress("failed", f"its process ended {STARTS_MOST} times")


def test_a_process_that_ends_now_and_then_is_always_replaced(
    run: Callable[[Processes], list[Progress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker runs for weeks: ends that are far apart are not added up."""
    monkeypatch.setattr(whisper, "LONG_S", 0.0)
    processes = Processes(1, "ready")
    processes.lives = 3 * STARTS_MOST
    told = run(processes)

    assert processes.started == 3 * STARTS_MOST + 1
    assert {each.state for each in told} == {"ready"}


def test_a_turn_that_cannot_be_recognized_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no process: the next turn, perhaps of another room, has its words."""
    answers = iter([RuntimeError("no such window"), WORDS])

    def recognise(*_: Any) -> HeardWords:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    told: list[Any] = []
    connection: Any = type("Connection", (), {"send": staticmethod(told.append)})()
    recognition = RecognitionProcess(connection)
    monkeypatch.setattr(whisper_process, "recognise", recognise)
    turn = SpokenTurn(np.zeros(2 * RATE_HZ, dtype=np.int16), 0.0)
    for listening in (1, 2):
        recognition._waiting.append(Waiting(listening, turn, "", time.monotonic()))  # pyright: ignore[reportPrivateUsage]
        recognition.take_turn(None)  # type: ignore[arg-type]  # `recognise` needs no model here

    assert told == [Dropped(2.0), Heard(2, WORDS)]


def test_a_full_disk_is_told_as_one() -> None:
    """A model that cannot be kept is not called one of another format."""
    error = RuntimeError("Data processing error: IO Error: No space left on device (os error 28)")

    told = whisper_process._why_not("tiny.en", error)  # pyright: ignore[reportPrivateUsage]

    assert told.startswith("tiny.en does not fit on the disk of ")
