"""What the people of one room say, as one frame per tick. Runs on the room's event loop.

People come, go, mute, unpublish and reconnect: none of it is an event for the model, a track with
nothing to give counts as silence. Who and what is heard: `worker.sound.audience`.
"""

import asyncio

import numpy as np
import structlog
from livekit import rtc

from worker.allowance import Allowance
from worker.engine.arrays import Pcm
from worker.grid import until_opening
from worker.livekit_private.track_stream import TrackStream
from worker.sound.audience import heard_of, is_heard
from worker.sound.resample import Resampler
from worker.sound.ring import Ring

log = structlog.get_logger(__name__)

TRACK_SAMPLES = 3840  # of a track's frame, at 48 kHz
# The native side delivers a stream's frames at the phase at which it was opened: open it so that
# they are there some 16 ms before each tick (measured: 6 more than asked), which jitter may eat.
OPENING_LEAD_S = 0.010


SUBSCRIBE_AT_ONCE, SUBSCRIBE_PER_S = 10, 0.5  # of one participant's tracks that come and go


class Heard:
    """The tracks of one participant that were subscribed to, and how many more may be."""

    def __init__(self) -> None:
        self.sids: set[str] = set()
        self.allowance = Allowance(SUBSCRIBE_AT_ONCE, SUBSCRIBE_PER_S)
        self.is_late = False  # a track waits for the allowance


class Ears:
    """One ring per track of the people in a room, summed tick by tick."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._rings: dict[str, Ring] = {}
        self._heard: dict[str, Heard] = {}  # by identity
        self._to_model = Resampler(down=2)  # of the sum: a filter for each track gives the same
        self._listening: dict[str, asyncio.Task[None]] = {}
        room.on("track_published", lambda _, who: self._attend(who))
        room.on("track_unpublished", lambda _, who: self._attend(who))
        room.on("track_subscribed", self._on_subscribed)
        room.on("track_unsubscribed", self._on_unsubscribed)
        room.on("participant_disconnected", lambda who: self._heard.pop(who.identity, None))
        for participant in room.remote_participants.values():
            self._attend(participant)

    def take(self) -> Pcm:
        """Sum up all tracks for this tick, `[1920]` float32; silence where nobody speaks."""
        total = np.zeros(TRACK_SAMPLES, dtype=np.float32)
        for ring in self._rings.values():
            frame = ring.take()
            if frame is not None:
                total += frame
        return self._to_model.feed(total)

    async def aclose(self) -> None:
        """Stop listening to every track."""
        self._heard.clear()
        for sid in list(self._listening):
            self._stop(sid)

    def _attend(self, participant: rtc.RemoteParticipant) -> None:
        """Subscribe to what is to be heard of a participant, and to nothing else of it."""
        if not is_heard(participant, self._room):
            return
        heard = self._heard.setdefault(participant.identity, Heard())
        there = participant.track_publications
        wanted = heard_of(there.values())
        for sid in heard.sids - wanted:
            if sid in there:
                there[sid].set_subscribed(False)
        heard.sids &= wanted
        for sid in wanted - heard.sids:
            if not heard.allowance.take():
                return self._attend_later(participant, heard)
            there[sid].set_subscribed(True)
            heard.sids.add(sid)

    def _attend_later(self, participant: rtc.RemoteParticipant, heard: Heard) -> None:
        def again() -> None:
            heard.is_late = False
            if self._heard.get(participant.identity) is heard:
                self._attend(participant)

        if not heard.is_late:
            heard.is_late = True
            asyncio.get_running_loop().call_later(1 / SUBSCRIBE_PER_S, again)

    def _on_subscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or not is_heard(participant, self._room):
            return
        self._stop(publication.sid)
        self._listening[publication.sid] = asyncio.create_task(
            self._listen(publication.sid, track), name=f"ear {publication.sid}"
        )

    def _on_unsubscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        self._stop(publication.sid)

    def _stop(self, sid: str) -> None:
        self._rings.pop(sid, None)
        task = self._listening.pop(sid, None)
        if task is not None:
            task.cancel()

    async def _listen(self, sid: str, track: rtc.Track) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(until_opening(loop.time(), OPENING_LEAD_S))
        stream = TrackStream(track)
        ring = self._rings[sid] = Ring()
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16)
                ring.put(samples.astype(np.float32) / 32768.0)
        finally:
            await stream.aclose()
