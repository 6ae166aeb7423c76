"""The process of speech recognition: a worker's sound of people in, their words out.

A process of its own, at a lower priority: a thread of the worker would hold the interpreter
lock, and at a low priority it would hold it for long, while rooms and engine wait for it. One
thread reads the sound and cuts it into turns, which costs little; the main thread recognises one
turn after another with Whisper. Started by `worker.hearing.whisper`; ends when the worker does.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment
from faster_whisper.utils import download_model
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from protocol.wire import WordTime, new_segment_id
from worker.engine.files.hub_files import why_not_stored
from worker.frames import FRAME_S, RATE_HZ, from_int16
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
from worker.hearing.recogniser import HeardWords, has_word
from worker.hearing.turns import SpokenTurn, Turns
from worker.vad import VAD_RATE_HZ

MOST_WAITING = 64  # turns
ALIVE_EVERY_S = 2.0  # while nobody speaks; far below worker.life_signs.PATIENCE_S
STALE_S = 20.0  # words that come so late are of no use
WINDOW_FRAMES = 1500  # of 10 ms; a turn has at most 12 s
MOST_TOKENS = 120  # of a turn; 12 s of fast speech have some 70
NO_SPEECH, UNLIKELY = 0.6, -0.5  # Whisper makes up words where there are none
REPEATS = 2.4  # characters per byte of compressed text: above it, its authors reject a text


class Waiting(NamedTuple):
    """A turn that waits for its recognition, or, after the last one, the end of a listening."""

    listening: int
    turn: SpokenTurn | None
    likely: str  # sentences that this person may well say
    since_s: float  # monotonic


class RecognitionProcess:
    """Takes sound from the worker and recognises turn after turn."""

    def __init__(self, connection: "Connection[ToWorker, FromWorker]") -> None:
        self._connection = connection
        self._listenings: dict[int, _Listening] = {}
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()

    def run(self, model: WhisperModel) -> None:
        """Recognize turns until the process ends."""
        self.tell(Progress("ready"))
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while True:
            self.take_turn(model)

    def take_turn(self, model: WhisperModel) -> None:
        """Wait for a turn and tell its words; drop one that came too late, or cannot be read."""
        first = self._next_waiting()
        if first.turn is None or time.monotonic() - first.since_s > STALE_S:
            return self._give_up(first)
        self.tell(Alive(first.turn.duration_s))
        try:
            words = recognise(model, first.turn, first.likely)
        except Exception as error:  # of this sound alone: other people's words go on
            sys.stderr.write(f"hearing: a turn is lost: {type(error).__name__}: {error!s:.200}\n")
            return self._give_up(first)
        if words is not None:
            self.tell(Heard(first.listening, words))

    def _next_waiting(self) -> Waiting:
        """Wait for a turn, with a sign of life every now and then."""
        while True:
            self.tell(Alive(0.0))
            with self._changed:
                if self._changed.wait_for(lambda: self._waiting, ALIVE_EVERY_S):
                    return self._waiting.popleft()

    def tell(self, message: ToWorker) -> None:
        """Send a message to the worker; end the process if that is gone."""
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)

    def _read(self) -> None:
        try:
            while True:
                self._take(self._connection.recv())
        except (EOFError, OSError):
            os._exit(0)  # the worker is gone, and the main thread may be in the middle of a turn
        except Exception:  # without this thread nobody would be heard; the worker starts another
            traceback.print_exc()
            os._exit(1)

    def _take(self, message: FromWorker) -> None:
        number = message.listening
        if isinstance(message, Opened):
            self._listenings[number] = _Listening(message.likely)
            return
        if number not in self._listenings:  # opened with the process before this one
            self._listenings[number] = _Listening()
        listening = self._listenings[number]
        if isinstance(message, Frame):
            for turn in listening.feed(message):
                self._add(number, turn)
            return
        for turn in listening.end():
            self._add(number, turn)
        self._add(number, None)
        del self._listenings[number]

    def _add(self, listening: int, turn: SpokenTurn | None) -> None:
        with self._changed:
            likely = self._listenings[listening].likely
            self._waiting.append(Waiting(listening, turn, likely, time.monotonic()))
            too_much = self._waiting.popleft() if len(self._waiting) > MOST_WAITING else None
            self._changed.notify()
        if too_much is not None:
            self._give_up(too_much)

    def _give_up(self, waiting: Waiting) -> None:
        if waiting.turn is None:
            self.tell(Closed(waiting.listening))
        else:
            self.tell(Dropped(waiting.turn.duration_s))


class _Listening:
    """The sound of one person on its way into turns."""

    def __init__(self, likely: str = "") -> None:
        self.likely = likely
        self._turns = Turns()
        self._next_number = 0
        self._resampler = av.AudioResampler("s16", "mono", VAD_RATE_HZ)

    def feed(self, frame: Frame) -> Iterable[SpokenTurn]:
        if frame.number != self._next_number:  # frames were dropped
            yield from self._turns.end(frame.number * FRAME_S)
        self._next_number = frame.number + 1
        samples = np.frombuffer(frame.pcm, dtype=np.int16)
        sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        sound.sample_rate = RATE_HZ
        for resampled in self._resampler.resample(sound):
            yield from self._turns.feed(resampled.to_ndarray()[0])

    def end(self) -> Iterable[SpokenTurn]:
        return self._turns.end(0.0)


class ShortWhisper(WhisperModel):
    """Whisper over a window of 15 s instead of 30: a turn is shorter, and the time a third.

    Still shorter windows make it repeat itself.
    """

    def encode(self, features: npt.NDArray[np.float32]) -> StorageView:
        """Encode features, `[80, 3000]` float32, of which the last half is silence."""
        return super().encode(np.ascontiguousarray(features[..., :WINDOW_FRAMES]))


def recognise(model: WhisperModel, turn: SpokenTurn, likely: str = "") -> HeardWords | None:
    """Return the words of a turn; None where Whisper hears none.

    Of words that sound alike it prefers those of `likely`, as if they had been said just before.
    """
    segments, _ = model.transcribe(
        from_int16(turn.pcm),
        language="en" if not model.model.is_multilingual else None,
        beam_size=1,
        temperature=0.0,  # a second try would cost as much as the first
        condition_on_previous_text=False,
        without_timestamps=True,
        word_timestamps=True,
        max_new_tokens=MOST_TOKENS,
        initial_prompt=likely or None,
    )
    # A turn is shorter than the window. The next segment would be its silent rest.
    segment = next(iter(segments), None)
    if segment is None or _is_made_up(segment) or not has_word(text := segment.text.strip()):
        return None
    words = tuple(
        WordTime(text=each.word.strip(), start_s=_at(turn, each.start), end_s=_at(turn, each.end))
        for each in segment.words or ()
    )
    return HeardWords(
        segment_id=new_segment_id(),
        text=text,
        is_final=True,
        start_s=words[0].start_s if words else turn.start_s,
        end_s=words[-1].end_s if words else turn.start_s + turn.duration_s,
        words=words,
    )


def _is_made_up(segment: Segment) -> bool:
    is_silence = segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < UNLIKELY
    return is_silence or segment.compression_ratio > REPEATS


def _at(turn: SpokenTurn, seconds: float) -> float:
    """Return a time of Whisper's, for which the silence around a turn belongs to its words."""
    latest_s = max(turn.before_s, turn.duration_s - turn.after_s)
    return round(turn.start_s + min(max(float(seconds), turn.before_s), latest_s), 3)


def load(name: str, recognition: RecognitionProcess) -> WhisperModel:
    """Load a model from a folder or the hub's cache, or download it first."""
    recognition.tell(Progress("loading", f"loading {name}"))
    folder = name
    if not Path(name).is_dir():
        try:
            folder = download_model(name, local_files_only=True)
        except LocalEntryNotFoundError:
            recognition.tell(Progress("loading", f"fetching {name} from the hub"))
            folder = download_model(name)
    return ShortWhisper(folder, device="cpu", compute_type="int8", cpu_threads=1)


def _why_not(name: str, error: Exception) -> str:
    """Return why a model cannot be loaded, with advice."""
    if isinstance(error, LocalEntryNotFoundError):
        return (
            f"{name} is not in the hub's cache and the hub cannot be reached; connect to the "
            "network, or set STT to a folder of a Whisper model in CTranslate2's format"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no repository {name}, or shows it to members only"
    if why := why_not_stored(error):
        return f"{name} {why}"
    return f"{name} is no Whisper model in CTranslate2's format: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def main(name: str, descriptor: int) -> None:
    """Recognize speech with the model `name` over the connection `descriptor`."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker drains, then closes the connection
        signal.signal(number, signal.SIG_IGN)
    recognition = RecognitionProcess(Connection(descriptor))
    try:
        model = load(name, recognition)
    except Exception as error:
        recognition.tell(Progress("failed", _why_not(name, error)))
    else:
        recognition.run(model)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
