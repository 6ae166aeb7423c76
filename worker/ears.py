"""What the people of one room say, as one frame per tick. Runs on the room's event loop.

People come, go, mute, unpublish and reconnect: none of it is an event for the model, a track with
nothing to give counts as silence. The personas' own tracks are never subscribed to: they hear each
other inside the process.
"""

import asyncio

import numpy as np
import structlog
from livekit import rtc

from worker.engine.model import Pcm
from worker.grid import until_opening
from worker.resample import Resampler
from worker.ring import Ring
from worker.track_stream import TrackStream

log = structlog.get_logger(__name__)

TRACK_SAMPLES = 3840  # of a track's frame, at 48 kHz
# The native side delivers a stream's frames at the phase at which it was opened: open it so that
# they are there some 16 ms before each tick (measured: 6 more than asked), which jitter may eat.
OPENING_LEAD_S = 0.010


def is_person(participant: rtc.RemoteParticipant | rtc.Participant) -> bool:
    """Whether a participant is one of the people: anybody but agents."""
    return participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


class Ears:
    """One ring per track of the people in a room, summed tick by tick."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._rings: dict[str, Ring] = {}
        self._to_model = Resampler(down=2)  # of the sum: a filter for each track gives the same
        self._listening: dict[str, asyncio.Task[None]] = {}
        room.on("track_published", self._on_published)
        room.on("track_subscribed", self._on_subscribed)
        room.on("track_unsubscribed", self._on_unsubscribed)
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                self._on_published(publication, participant)

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
        for sid in list(self._listening):
            self._stop(sid)

    def _on_published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if is_person(participant) and publication.kind == rtc.TrackKind.KIND_AUDIO:
            publication.set_subscribed(True)

    def _on_subscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or not is_person(participant):
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
