"""Lets a room's personas hear what people said before they were heard. Runs on the room's loop.

A track that was recorded from its person's click on says so (`TF_PRECONNECT_BUFFER`). It is held
until the personas listen and its recording is there, or does not come. Personas, words and the
room's own recording get the same sound, and none of it twice.
"""

import asyncio
from functools import partial

import structlog
from livekit import rtc

from worker.engine.arrays import Pcm
from worker.frames import FRAME_S, TRACK_RATE_HZ
from worker.livekit_private.early_streams import EarlyRecording, EarlyStreams, is_recorded_early
from worker.sound.early_recording import decode
from worker.sound.early_sound import EarlySound, frames_of

log = structlog.get_logger(__name__)

OPENS_TICKS = 12  # 1 s from the subscription: a host that replaces another gets no recording
ENDS_TICKS = 38  # 3 s, as LiveKit's own agents wait
KEPT_S = 12.0  # an open stream, or a recording whose track is not subscribed to

Sender = tuple[str, str]  # a person's identity, and the SID of the track that it names


class _Track:
    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.sound = EarlySound()
        self.ticks = 0


class EarlySpeech:
    """The early sound of one room's people."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._loop = asyncio.get_running_loop()
        self.streams = EarlyStreams(self._on_opened, self._on_recorded, self._ignore)
        self._tracks: dict[str, _Track] = {}  # held or late, by the track's SID
        self._arriving: set[Sender] = set()  # whose recordings are sent, or being decoded
        self._recordings: dict[Sender, Pcm] = {}  # that no track has got yet
        self._is_listening = False
        room.on("participant_disconnected", self._on_left)

    def personas_listen(self) -> None:
        """Note that the personas hear from now on."""
        self._is_listening = True

    def expect(self, identity: str, publication: rtc.RemoteTrackPublication) -> None:
        """Hold a track that was subscribed to, where it was recorded early."""
        if is_recorded_early(publication):
            self._tracks[publication.sid] = _Track(identity)

    def stop(self, track_sid: str) -> None:
        """Forget a track."""
        self._tracks.pop(track_sid, None)

    def next_frame(self, track_sid: str, frame: Pcm | None) -> Pcm | None:
        """Return the sound to hear of a track, which gave `frame`, `[3840]` at 48 kHz."""
        track = self._tracks.get(track_sid)
        if track is None:
            return frame
        track.ticks += 1
        if frame is not None:
            track.sound.put(frame)
        if track.sound.is_held and self._is_listening and self._is_decided(track_sid, track):
            self._release(track_sid, track)
        heard = track.sound.take()
        if track.sound.is_over:
            del self._tracks[track_sid]
        return heard

    def _is_decided(self, track_sid: str, track: _Track) -> bool:
        """Return whether the recording is there or is waited for no longer."""
        sender = (track.identity, track_sid)
        if sender in self._recordings:
            return True
        return track.ticks > (ENDS_TICKS if sender in self._arriving else OPENS_TICKS)

    def _release(self, track_sid: str, track: _Track) -> None:
        pcm = self._recordings.pop((track.identity, track_sid), None)
        if pcm is None:
            log.info("early_sound_missing", identity=track.identity, held_s=track.ticks * FRAME_S)
            return track.sound.release()
        track.sound.release(frames_of(pcm))
        log.info("early_sound_heard", identity=track.identity, sound_s=len(pcm) / TRACK_RATE_HZ)

    def _on_opened(self, identity: str, track_sid: str) -> None:
        self._arriving.add((identity, track_sid))
        self._loop.call_later(KEPT_S, self._expire, (identity, track_sid))

    def _on_recorded(self, recording: EarlyRecording) -> None:
        sender = identity, sid = recording.identity, recording.track_sid
        for each in self._room.remote_participants.values():
            if sid in each.track_publications and each.identity != identity:
                return self._ignore(*sender, "it is of another participant's track")
        arguments = recording.mime_type, recording.attributes, recording.data
        decoding = self._loop.run_in_executor(None, decode, *arguments)
        decoding.add_done_callback(partial(self._decoded, sender))

    def _decoded(self, sender: Sender, decoding: asyncio.Future[Pcm]) -> None:
        if decoding.cancelled():
            return
        if (error := decoding.exception()) is not None:
            return self._ignore(*sender, str(error))
        if sender in self._arriving:  # else the person has left
            self._arriving.remove(sender)
            self._recordings[sender] = decoding.result()

    def _expire(self, sender: Sender) -> None:
        if self.streams.give_up(*sender):
            self._ignore(*sender, f"it has not ended within {KEPT_S:g} s")
        elif self._recordings.pop(sender, None) is not None:
            self._ignore(*sender, "its track was not held")

    def _ignore(self, identity: str, track_sid: str, reason: str) -> None:
        self._arriving.discard((identity, track_sid))
        log.warning("early_sound_ignored", identity=identity, reason=reason)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        self.streams.participant_left(participant.identity)
        for sender in [*self._arriving, *self._recordings]:
            if sender[0] == participant.identity:
                self._arriving.discard(sender)
                self._recordings.pop(sender, None)
