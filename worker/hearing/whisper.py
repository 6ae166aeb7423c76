"""Recognition with Whisper in a process of its own (`worker.hearing.whisper_process`).

`push` queues a frame; one thread sends the queue to the process, another receives words. Frames
that the queue has no room for are dropped and counted: a host never waits. All words are final:
interim ones would cost as much as final ones each time.
"""

import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from prometheus_client import Counter

from worker.engine.arrays import Pcm
from worker.frames import FRAME_S, to_int16
from worker.hearing.messages import (
    Alive,
    Closed,
    Dropped,
    Frame,
    FromWorker,
    Heard,
    Opened,
    Progress,
    ToWorker,
)
from worker.hearing.recogniser import OnEnd, OnWords
from worker.life_signs import LOOK_EVERY_S, PATIENCE_S, LifeSigns

log = structlog.get_logger(__name__)

QUEUE_FRAMES = 2_000  # 8 MB: 64 people for 2.5 s
QUIET_FRAMES = 25  # 2 s without sound end every turn; more silence is not sent
STARTS_MOST = 4
AGAIN_S = 10.0  # until a start is tried again for which the machine had no memory or process
LONG_S = 600.0  # a process that ran for so long ended for a reason of its own
NICENESS = 5  # below the voices; at 19, on a busy machine, words came 20 s late
SESSION_NICENESS = 10  # below LiveKit, too: at 0 six voices beside it took half as long again
ENVIRONMENT = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "OPENBLAS_NUM_THREADS": "1"}

DROPPED_S = Counter(
    "moshi_unwritten_speech_seconds", "Sound of people that was not recognised for want of time"
)
SEGMENTS = Counter("moshi_people_segments", "Segments of people's words that were recognised")


class Whisper:
    """A recogniser that listens to people while its process is ready. Any thread."""

    def __init__(
        self,
        model: str,
        on_progress: Callable[[Progress], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`model`: a folder, a hub repository, or a size as `tiny.en`.

        `on_progress` is called on a thread of its own. `patience_s`: as of `LifeSigns`.
        """
        self._model = model
        self._patience_s = patience_s
        self._on_progress = on_progress
        self._numbers = itertools.count()
        self._open: dict[int, tuple[OnWords, OnEnd]] = {}
        self._closing: set[int] = set()  # listenings whose last words the process still has
        self._queue: queue.SimpleQueue[FromWorker] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[FromWorker, ToWorker] | None = None
        self._is_ready = False
        self._is_stopped = False

    def start(self) -> None:
        """Start the process; return at once."""
        threading.Thread(target=self._run, name="hearing", daemon=True).start()
        threading.Thread(target=self._send_queue, name="hearing sends", daemon=True).start()

    def stop(self) -> None:
        self._is_stopped = True
        if self._process is not None:
            self._process.kill()

    def open(self, on_words: OnWords, likely: str, on_end: OnEnd) -> "WhisperListening | None":
        """Start to listen to a person; None while no model is loaded."""
        if not self._is_ready:
            return None
        number = next(self._numbers)
        self._open[number] = on_words, on_end
        self.send(Opened(number, likely))
        return WhisperListening(number, self.send)

    def send(self, message: FromWorker) -> None:
        """Queue a message for the process; drop and count a frame that there is no room for."""
        if isinstance(message, Frame) and self._queue.qsize() >= QUEUE_FRAMES:
            DROPPED_S.inc(FRAME_S)
        else:
            self._queue.put(message)

    def _run(self) -> None:
        """Keep a process running, unless it cannot load the model or ends again and again."""
        ended, has_loaded = 0, False
        while ended < STARTS_MOST and not self._is_stopped:
            began_s = time.monotonic()
            try:
                self._process, self._connection = _start(self._model)
            except OSError as error:  # no memory, or no more processes
                why = f"its process cannot be started: {error.strerror}"
                if not has_loaded:
                    return self._on_progress(Progress("failed", why))
                self._on_progress(Progress("loading", f"{why}; tried again in {AGAIN_S:.0f} s"))
                time.sleep(AGAIN_S)
                continue
            states, is_hung = self._receive(self._connection)
            self._is_ready = False
            if is_hung:
                self._process.kill()
            exit_code = self._process.wait()
            has_loaded |= "ready" in states
            if self._is_stopped:
                return
            if not has_loaded:
                if "failed" not in states:  # it was killed, or could not even begin
                    self._on_progress(Progress("failed", _why_ended(exit_code)))
                return
            log.warning("hearing_ended", exit_code=exit_code, is_hung=is_hung)
            self._forget(*self._closing.copy())
            ended = ended + 1 if time.monotonic() - began_s < LONG_S else 1
        if not self._is_stopped:
            self._on_progress(Progress("failed", f"its process ended {STARTS_MOST} times"))

    def _receive(self, connection: "Connection[FromWorker, ToWorker]") -> tuple[set[str], bool]:
        """Take messages until the process ends or hangs; return its states, and if it hangs."""
        states: set[str] = set()
        signs = LifeSigns(self._patience_s)
        while not signs.is_hung():
            try:
                message = connection.recv() if connection.poll(LOOK_EVERY_S) else None
            except (EOFError, OSError):
                return states, False
            if isinstance(message, Progress):
                self._is_ready = message.state == "ready"
                states.add(message.state)
                self._on_progress(message)
            elif isinstance(message, Alive):
                signs.take(message.speech_s)
            elif message is not None:
                self._take(message)
        return states, True

    def _take(self, message: Heard | Dropped | Closed) -> None:
        if isinstance(message, Dropped):
            DROPPED_S.inc(message.speech_s)
        elif isinstance(message, Closed):
            self._forget(message.listening)
        elif message.listening in self._open:
            SEGMENTS.inc()
            on_words, _ = self._open[message.listening]
            on_words(message.words)

    def _forget(self, *listenings: int) -> None:
        for listening in listenings:
            self._closing.discard(listening)
            if (callbacks := self._open.pop(listening, None)) is not None:
                callbacks[1]()

    def _send_queue(self) -> None:
        while True:
            message = self._queue.get()
            if isinstance(message, Closed):
                self._closing.add(message.listening)
            try:
                if self._connection is not None:
                    self._connection.send(message)
            except OSError:  # the process has ended; another starts
                if isinstance(message, Closed):
                    self._forget(message.listening)


class WhisperListening:
    """The sound of one person on its way to the process. Called from one thread."""

    def __init__(self, number: int, send: Callable[[FromWorker], None]) -> None:
        self._number = number
        self._send = send
        self._index = 0
        self._quiet_frames = 0

    def push(self, pcm: Pcm) -> None:
        """Take the next frame, `[1920]` float32 at 24 kHz."""
        self._quiet_frames = 0 if pcm.any() else self._quiet_frames + 1
        if self._quiet_frames <= QUIET_FRAMES:
            self._send(Frame(self._number, self._index, to_int16(pcm).tobytes()))
        self._index += 1

    def close(self) -> None:
        self._send(Closed(self._number))


def _start(model: str) -> "tuple[subprocess.Popen[bytes], Connection[FromWorker, ToWorker]]":
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.hearing.whisper_process", model, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
        own = os.getpriority(os.PRIO_PROCESS, 0)  # a container, or a service, may be nice itself
        os.setpriority(os.PRIO_PROCESS, process.pid, own + NICENESS)  # its threads inherit it
        _lower_session(process.pid)
    return process, Connection(ours.detach())


def _why_ended(exit_code: int) -> str:
    """Return why a process ended that had not loaded the model, for people."""
    if exit_code >= 0:
        return f"its process ended with {exit_code} while it began; its last lines say why"
    name = signal.Signals(-exit_code).name
    why = ", as where memory is short" if name == "SIGKILL" else ""
    return f"its process was ended by {name} while it loaded the model{why}"


def _lower_session(pid: int) -> None:
    """Give the rest of the machine precedence over a process's session, where the kernel can.

    With autogroups (sched(7)) a process's niceness counts within its session alone, and sessions
    share the cores evenly.
    """
    with suppress(OSError):  # no autogroups here
        Path(f"/proc/{pid}/autogroup").write_text(str(SESSION_NICENESS))
