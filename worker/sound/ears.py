"""The sound of a room's people, mixed into one frame per tick, and of each. Room's event loop.

Joining, leaving, muting, unpublishing and reconnecting are no events for the model: a track without
a frame counts as silence. `worker.sound.audience` decides which tracks are heard.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from livekit import rtc

from protocol.events import Event, WarningEvent
from worker.allowance import Allowance
from worker.engine.arrays import Pcm
from worker.frames import TRACK_SAMPLES
from worker.grid import until_opening
from worker.livekit_private.track_stream import TrackStream
from worker.sound.audience import is_encrypted, is_heard, is_person, tracks_to_hear
from worker.sound.early_speech import EarlySpeech
from worker.sound.resample import Resampler
from worker.sound.ring import Ring

# The native library delivers a stream's frames at the phase at which it was opened. Opening it so
# that they come some 16 ms before each tick (measured: 6 more than asked) leaves room for jitter.
OPENING_LEAD_S = 0.010
SCREEN = rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO  # heard, but no words of the person
SUBSCRIBE_AT_ONCE, SUBSCRIBE_PER_S = 10, 0.5  # subscriptions to one participant's tracks


@dataclass(frozen=True, slots=True)
class Microphone:
    """A track by which a person speaks."""

    identity: str
    track_sid: str


class _Subscriptions:
    def __init__(self) -> None:
        self.sids: set[str] = set()
        self.allowance = Allowance(SUBSCRIBE_AT_ONCE, SUBSCRIBE_PER_S)
        self.is_retry_scheduled = False
        self.is_encrypted = False


class Ears:
    """Subscribes to the tracks to hear and adds them up, tick by tick."""

    def __init__(
        self,
        room: rtc.Room,
        hears: Callable[[rtc.RemoteParticipant, rtc.Room], bool] = is_heard,
        early: EarlySpeech | None = None,
        emit: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`hears` tells which participants are heard; those that the personas hear by default.

        `early` adds sound from before a subscription; without it people are heard from then on.
        `emit` gets a warning about each participant that cannot be heard.
        """
        self._room = room
        self._hears = hears
        self._early = early
        self._emit = emit
        # By the track's SID. Openings stay there once they are done.
        self._rings: dict[str, Ring] = {}
        self._streams: dict[str, TrackStream] = {}
        self._openings: dict[str, asyncio.TimerHandle] = {}
        self._microphones: dict[str, Microphone] = {}  # people's, by the track's SID
        self.spoken: dict[Microphone, Pcm] = {}  # in this tick, `[3840]` float32 at 48 kHz
        self._subscriptions: dict[str, _Subscriptions] = {}  # by identity
        self._resampler = Resampler(down=2)  # of the sum: a filter for each track gives the same
        room.on("track_published", lambda _, participant: self._subscribe(participant))
        room.on("track_unpublished", lambda _, participant: self._subscribe(participant))
        room.on("track_subscribed", self._on_subscribed)
        room.on("track_unsubscribed", lambda _, publication, __: self._stop(publication.sid))
        room.on("participant_disconnected", self._on_disconnected)
        for participant in room.remote_participants.values():
            self._subscribe(participant)

    def next_frame(self) -> Pcm:
        """Take this tick's frame of every track and add them up, `[1920]` float32 at 24 kHz."""
        total = np.zeros(TRACK_SAMPLES, dtype=np.float32)
        self.spoken = {}
        for sid, ring in self._rings.items():
            frame = ring.take()
            if self._early is not None:
                frame = self._early.next_frame(sid, frame)
            if frame is not None:
                total += frame
                if (microphone := self._microphones.get(sid)) is not None:
                    self.spoken[microphone] = frame
        return self._resampler.feed(total)

    def close(self) -> None:
        """Hear nobody any more; the room may go on."""
        self._hears = lambda *_: False
        self._subscriptions.clear()
        for sid in [*self._openings]:
            self._stop(sid)

    def _subscribe(self, participant: rtc.RemoteParticipant) -> None:
        """Subscribe to the tracks to hear of a participant, and unsubscribe from others."""
        if not self._hears(participant, self._room):
            return
        subscriptions = self._subscriptions.setdefault(participant.identity, _Subscriptions())
        published = participant.track_publications
        if not subscriptions.is_encrypted and any(map(is_encrypted, published.values())):
            subscriptions.is_encrypted = True
            self._emit(_encrypted(participant.identity))
        wanted = tracks_to_hear(published.values())
        for sid in subscriptions.sids - wanted:
            if sid in published:
                published[sid].set_subscribed(False)
        subscriptions.sids &= wanted
        for sid in wanted - subscriptions.sids:
            if not subscriptions.allowance.take():
                return self._subscribe_later(participant, subscriptions)
            published[sid].set_subscribed(True)
            subscriptions.sids.add(sid)

    def _subscribe_later(
        self, participant: rtc.RemoteParticipant, subscriptions: _Subscriptions
    ) -> None:
        def retry() -> None:
            subscriptions.is_retry_scheduled = False
            if self._subscriptions.get(participant.identity) is subscriptions:
                self._subscribe(participant)

        if not subscriptions.is_retry_scheduled:
            subscriptions.is_retry_scheduled = True
            asyncio.get_running_loop().call_later(1 / SUBSCRIBE_PER_S, retry)

    def _on_subscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or not self._hears(participant, self._room):
            return
        self._stop(publication.sid)
        if is_person(participant) and publication.source != SCREEN:
            microphone = Microphone(participant.identity, publication.sid)
            self._microphones[publication.sid] = microphone
            if self._early is not None:
                self._early.expect(participant.identity, publication)
        loop = asyncio.get_running_loop()
        wait_s = until_opening(loop.time(), OPENING_LEAD_S)
        self._openings[publication.sid] = loop.call_later(
            wait_s, self._open, publication.sid, track
        )

    def _on_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        self._subscriptions.pop(participant.identity, None)

    def _stop(self, sid: str) -> None:
        self._rings.pop(sid, None)
        self._microphones.pop(sid, None)
        if self._early is not None:
            self._early.stop(sid)
        if (opening := self._openings.pop(sid, None)) is not None:
            opening.cancel()
        if (stream := self._streams.pop(sid, None)) is not None:
            stream.close()

    def _open(self, sid: str, track: rtc.Track) -> None:
        """Put the frames of a track into its ring from now on."""
        ring = self._rings[sid] = Ring()
        self._streams[sid] = TrackStream(track, ring.put)


def _encrypted(identity: str) -> WarningEvent:
    detail = "A track is encrypted from end to end: the personas cannot hear it."
    return WarningEvent(at_s=time.time(), code="encrypted", detail=detail, identity=identity)
