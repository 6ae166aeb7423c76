"""A process of recognition that ends, or fails at a turn: what is reported, what goes on."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worker.hearing import whisper, whisper_process
from worker.hearing.messages import Alive, Dropped, Heard, Progress
from worker.hearing.recogniser import HeardWords
from worker.hearing.turns import SpokenTurn
from worker.hearing.whisper import STARTS_MOST, Whisper
from worker.hearing.whisper_process import RecognitionProcess, Waiting
from worker.vad import VAD_RATE_HZ

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
        reported = iter([Progress(state) for state in self.states])  # type: ignore[arg-type]
        return self, FakeConnection(reported)

    def wait(self) -> int:
        return self.exit_code

    def kill(self) -> None:
        pass

    whisper: Whisper


class FakeConnection:
    def __init__(self, reported: Any) -> None:
        self.reported = reported

    def poll(self, _: float) -> bool:
        return True

    def recv(self) -> Progress:
        try:
            return next(self.reported)
        except StopIteration:
            raise EOFError from None


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Processes], list[Progress]]:
    """Return how to run a recogniser over such processes to its end."""

    def run_all(processes: Processes) -> list[Progress]:
        reported: list[Progress] = []
        monkeypatch.setattr(whisper, "_start", processes.start)
        processes.whisper = Whisper("tiny.en", reported.append)
        thread = threading.Thread(target=processes.whisper._run)  # pyright: ignore[reportPrivateUsage]
        thread.start()
        thread.join(10.0)
        assert not thread.is_alive()
        return reported

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
def test_a_process_that_dies_while_it_loads_is_reported_as_failed(
    run: Callable[[Processes], list[Progress]], exit_code: int, why: str
) -> None:
    """A process that ends during loading fails with the reason of its exit code."""
    reported = run(Processes(exit_code, "loading"))

    assert reported == [Progress("loading"), Progress("failed", why)]


def test_a_failure_that_the_process_reported_is_reported_once(
    run: Callable[[Processes], list[Progress]],
) -> None:
    """The end of a process that reported its own failure adds no second report."""
    assert run(Processes(0, "loading", "failed")) == [Progress("loading"), Progress("failed")]


def test_a_process_that_ends_too_often_is_not_started_again(
    run: Callable[[Processes], list[Progress]],
) -> None:
    """After `STARTS_MOST` starts in short succession recognition fails."""
    processes = Processes(1, "ready")
    reported = run(processes)

    assert processes.started == STARTS_MOST
    assert reported[-1] == Progress("failed", f"its process ended {STARTS_MOST} times")


def test_a_process_that_cannot_be_started_is_reported_as_failed(
    run: Callable[[Processes], list[Progress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel gives no process, recognition fails with the kernel's reason."""
    processes = Processes(1)

    def start(_: str) -> Any:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(processes, "start", start)

    assert run(processes) == [
        Progress("failed", "its process cannot be started: Resource temporarily unavailable")
    ]


def test_a_process_that_cannot_be_replaced_now_is_tried_again(
    run: Callable[[Processes], list[Progress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has no process for a while, recognition that once worked comes back."""
    processes = Processes(1, "ready")
    start, reached = processes.start, iter([True, False, False, True, True, True])

    def start_now_and_then(model: str) -> Any:
        if not next(reached):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return start(model)

    monkeypatch.setattr(whisper, "AGAIN_S", 0.0)
    monkeypatch.setattr(processes, "start", start_now_and_then)
    ready, *waited, again = run(processes)[:4]

    assert ready == again == Progress("ready")
    assert all("Resource temporarily unavailable" in each.detail for each in waited)


def test_sound_that_cannot_be_read_ends_the_process() -> None:
    """A process whose reading thread fails ends with an error, and does not go on deaf."""
    program = (
        "import sys; from unittest.mock import Mock; from multiprocessing import Pipe; "
        "from worker.hearing.messages import Frame; from worker.hearing import whisper_process; "
        "ours, theirs = Pipe(); ours.send(Frame(1, 0, b'odd')); "
        "whisper_process.RecognitionProcess(theirs).run(Mock())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 1
    assert "ValueError: buffer size must be a multiple" in ended.stderr


def test_ends_that_are_far_apart_are_not_added_up(
    run: Callable[[Processes], list[Progress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends after `LONG_S` or more is replaced every time."""
    monkeypatch.setattr(whisper, "LONG_S", 0.0)
    processes = Processes(1, "ready")
    processes.lives = 3 * STARTS_MOST
    reported = run(processes)

    assert processes.started == 3 * STARTS_MOST + 1
    assert {each.state for each in reported} == {"ready"}


def test_a_turn_that_cannot_be_recognised_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error at one turn does not end the process: the next turn gets its words."""
    answers = iter([RuntimeError("no such window"), WORDS])

    def recognise(*_: Any) -> HeardWords:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reported: list[Any] = []
    connection: Any = type("Connection", (), {"send": staticmethod(reported.append)})()
    recognition = RecognitionProcess(connection)
    monkeypatch.setattr(whisper_process, "recognise", recognise)
    turn = SpokenTurn(np.zeros(2 * VAD_RATE_HZ, dtype=np.int16), 0.0)
    for listening in (1, 2):
        recognition._waiting.append(Waiting(listening, turn, "", time.monotonic()))  # pyright: ignore[reportPrivateUsage]
        recognition.take_turn(None)  # type: ignore[arg-type]  # `recognise` needs no model here

    assert [each for each in reported if not isinstance(each, Alive)] == [
        Dropped(2.0),
        Heard(2, WORDS),
    ]


def test_a_full_disk_is_reported_as_such() -> None:
    """A model that does not fit on the disk fails with that reason, not as another format."""
    error = RuntimeError("Data processing error: IO Error: No space left on device (os error 28)")

    reported = whisper_process._why_not("tiny.en", error)  # pyright: ignore[reportPrivateUsage]

    assert reported.startswith("tiny.en does not fit on the disk of ")


@pytest.mark.parametrize("text", [" ...", " \u266a\u266a", " . . !", " "])
def test_marks_without_a_word_are_no_segment(text: str) -> None:
    """What Whisper writes for a cough or music is told to nobody: it would be a person's turn."""
    written = SimpleNamespace(
        text=text, words=(), no_speech_prob=0.1, avg_logprob=-0.1, compression_ratio=1.0
    )
    model: Any = SimpleNamespace(
        model=SimpleNamespace(is_multilingual=False),
        transcribe=lambda *_, **__: (iter([written]), None),
    )
    turn = SpokenTurn(np.zeros(VAD_RATE_HZ, dtype=np.int16), 0.0)
    assert whisper_process.recognise(model, turn) is None
