"""The messages between the worker and its process of speech recognition. Pure."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from worker.hearing.recogniser import HeardWords


class Frame(NamedTuple):
    """A frame of one listening, worker → recognition. Frames that were dropped leave a gap."""

    listening: int
    number: int  # of frames before it, since the listening was opened
    pcm: bytes  # [1920] int16 at 24 kHz


class Opened(NamedTuple):
    """The beginning of one listening, worker → recognition."""

    listening: int
    likely: str  # sentences that this person may well say


class Closed(NamedTuple):
    """The end of one listening, worker → recognition; back again after its last words."""

    listening: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the process, recognition → worker; `detail` is a sentence for people."""

    state: Literal["loading", "ready", "failed"]
    detail: str = ""


class Alive(NamedTuple):
    """A sign of life of the thread that recognises, recognition → worker."""

    speech_s: float  # that it recognises before the next sign


class Heard(NamedTuple):
    """Words of one listening, recognition → worker."""

    listening: int
    words: HeardWords


class Dropped(NamedTuple):
    """Speech that was not recognised for want of time, recognition → worker."""

    speech_s: float


FromWorker = Opened | Frame | Closed
ToWorker = Progress | Alive | Heard | Dropped | Closed
