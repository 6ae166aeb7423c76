"""The words of a room's people: from their microphones through a recogniser into the transcript.

A person is listened to from the first sound until they leave. Runs on the room's event loop; the
recogniser gives words on a thread of its own, some time after they were spoken.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from livekit import rtc

from protocol.events import Event
from worker.engine.arrays import Pcm
from worker.frames import FRAME_S, SILENCE, power
from worker.hearing.recogniser import HeardWords, Listening, Recogniser
from worker.loops import call_on_loop
from worker.room.persona.transcript import Speaker, TranscriptPublisher
from worker.room.persona.words import SegmentUpdate
from worker.sound.ears import Microphone
from worker.sound.resample import Resampler

AUDIBLE_POWER = 1e-6  # -60 dBFS: quieter than speech; the microphones of most listeners send less
LAST_WORDS_S = 3.0  # for words that were said just before the host stopped
SEGMENT_CHARACTERS = 1_000  # of one segment in messages and events; 12 s of speech have some 250


class PeopleWords:
    """Listens to the people of one room and publishes their words."""

    def __init__(
        self,
        room: rtc.Room,
        recogniser: Recogniser | None,
        emit: Callable[[Event], None],
        on_words: Callable[[str], None],
        likely: Callable[[], str] = str,
    ) -> None:
        """`on_words` gets the text of each segment as it grows.

        `likely` returns sentences that people may well say. Without a recogniser nothing is
        computed.
        """
        self._room = room
        self._recogniser = recogniser
        self._on_words = on_words
        self._likely = likely
        self._loop = asyncio.get_running_loop()
        self._transcript = TranscriptPublisher(room, emit)
        self._people: dict[str, _Person] = {}  # by identity
        self._unended: set[asyncio.Event] = set()  # one of each listening that may give words
        self._ticks = 0
        room.on("participant_disconnected", lambda participant: self._close(participant.identity))

    def tick(self, spoken: Mapping[Microphone, Pcm]) -> None:
        """Take each microphone's sound of this tick, `[3840]` float32 at 48 kHz."""
        self._ticks += 1
        frames: dict[str, Pcm] = {}
        for microphone, frame in spoken.items():
            identity = microphone.identity
            if (person := self._people.get(identity)) is None:
                self._open(microphone, frame)
            elif person.microphone not in spoken:  # the track was published anew
                person.microphone = microphone
            frames[identity] = frames[identity] + frame if identity in frames else frame
        for identity, person in self._people.items():
            person.push(frames.get(identity))

    @property
    def is_listening(self) -> bool:
        """Whether the words of a person are written."""
        return bool(self._people)

    async def aclose(self, within_s: float) -> None:
        """Stop listening; words that are not recognised within a time are lost."""
        for identity in list(self._people):
            self._close(identity)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.gather(*(ended.wait() for ended in self._unended))
        await self._transcript.aclose()

    def _open(self, microphone: Microphone, frame: Pcm) -> None:
        """Begin to listen to a person with the first audible frame, if the recogniser can."""
        if self._recogniser is None or power(frame) < AUDIBLE_POWER:
            return
        if microphone.identity not in self._room.remote_participants:  # it has just left
            return
        began_s = (self._ticks - 1) * FRAME_S
        on_words = partial(self._on_heard, microphone, began_s)
        ended = asyncio.Event()
        on_end = partial(call_on_loop, self._loop, self._on_ended, ended)
        listening = self._recogniser.open(on_words, self._likely(), on_end)
        if listening is not None:
            self._unended.add(ended)
            self._people[microphone.identity] = _Person(microphone, listening)

    def _close(self, identity: str) -> None:
        person = self._people.pop(identity, None)
        if person is not None:
            person.listening.close()

    def _on_ended(self, ended: asyncio.Event) -> None:
        ended.set()
        self._unended.discard(ended)

    def _on_heard(self, microphone: Microphone, began_s: float, heard: HeardWords) -> None:
        """Take words from the recogniser. Its thread."""
        call_on_loop(self._loop, self._publish, microphone, began_s, heard)

    def _publish(self, microphone: Microphone, began_s: float, heard: HeardWords) -> None:
        update = _later_by(began_s, heard)
        ago_ms = round((self._ticks * FRAME_S - update.start_s) * 1000)
        person = self._people.get(microphone.identity)
        track_sid = (microphone if person is None else person.microphone).track_sid
        speaker = Speaker(microphone.identity, track_sid)
        self._transcript.publish(speaker, replace(update, ago_ms=ago_ms))
        self._on_words(update.text)


def _later_by(began_s: float, heard: HeardWords) -> SegmentUpdate:
    """Return words as a segment, in times of the room."""

    def at(seconds: float) -> float:
        return round(began_s + seconds, 3)

    return SegmentUpdate(
        segment_id=heard.segment_id,
        text=heard.text[:SEGMENT_CHARACTERS],
        added="",
        start_s=at(heard.start_s),
        end_s=at(heard.end_s if heard.is_final else heard.start_s),
        is_final=heard.is_final,
        words=tuple(
            each.model_copy(update={"start_s": at(each.start_s), "end_s": at(each.end_s)})
            for each in heard.words
        ),
    )


class _Person:
    """A person's listening, and the filter before it."""

    def __init__(self, microphone: Microphone, listening: Listening) -> None:
        self.microphone, self.listening = microphone, listening
        self._resampler = Resampler(down=2)

    def push(self, frame: Pcm | None) -> None:
        """Pass on a frame, `[3840]` float32 at 48 kHz; None counts as silence."""
        self.listening.push(SILENCE if frame is None else self._resampler.feed(frame))
