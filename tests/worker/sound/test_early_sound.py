"""What was said early is heard first, then what comes, and soon nothing is late."""

import io

import av
import numpy as np
import pytest

from worker.engine.arrays import Pcm
from worker.sound.early_recording import LONGEST_S, RATE_HZ, BadRecording, decode
from worker.sound.early_sound import (
    LATE_MOST_TICKS,
    MOST_FRAMES,
    PAUSE_FRAMES,
    TRACK_SAMPLES,
    EarlySound,
    frames_of,
)

SILENCE = np.zeros(TRACK_SAMPLES, dtype=np.float32)
PCM = {"sampleRate": "24000", "channels": "1"}


def word(value: float) -> Pcm:
    """A loud frame that can be told from others."""
    return np.full(TRACK_SAMPLES, value, dtype=np.float32)


def value(frame: Pcm | None) -> float | None:
    return None if frame is None else round(float(frame[0]), 3)


def tone(seconds: float, rate_hz: int) -> Pcm:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate_hz)) / rate_hz).astype("f4")


def loudest_hz(pcm: Pcm) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(pcm))) * RATE_HZ / len(pcm))


class TestEarlySound:
    """One track's delay."""

    def test_the_recording_comes_first_then_what_was_held(self) -> None:
        """Nothing is heard while it is held; then each frame once, in the order it was said."""
        early = EarlySound()
        early.put(word(0.3))
        held = early.take()
        early.release([word(0.1), word(0.2)])
        early.put(word(0.4))
        heard = [value(early.take()) for _ in range(5)]

        assert held is None
        assert heard == [0.1, 0.2, 0.3, 0.4, None]
        assert early.is_over

    def test_pauses_make_up_for_the_delay(self) -> None:
        """Of each pause some frames stay, silence before the first word does not."""
        early = EarlySound()
        pause = [SILENCE] * 20
        early.release([*pause, word(0.1), *pause, word(0.2), *pause])
        heard = [value(early.take()) for _ in range(2 + 2 * PAUSE_FRAMES + 1)]

        assert heard == [0.1, *[0.0] * PAUSE_FRAMES, 0.2, *[0.0] * PAUSE_FRAMES, None]
        assert early.is_over

    def test_noise_is_a_pause_where_speech_is_louder(self) -> None:
        """A microphone that is never silent makes up for the delay as well."""
        early = EarlySound()
        early.release([*[word(0.01)] * 10, *[word(0.5)] * 5, *[word(0.01)] * 10])
        heard = [value(early.take()) for _ in range(5 + PAUSE_FRAMES + 1)]

        assert heard == [*[0.5] * 5, *[0.01] * PAUSE_FRAMES, None]

    @pytest.mark.parametrize("frames", [1, MOST_FRAMES, 2 * MOST_FRAMES])
    def test_who_never_pauses_is_not_late_for_ever(self, frames: int) -> None:
        """After some seconds what waits is left out."""
        early = EarlySound()
        early.release([word(0.1)] * frames)
        for _ in range(LATE_MOST_TICKS + 1):
            early.put(word(0.2))
            early.take()

        assert early.is_over

    def test_a_recording_ends_where_its_frames_end(self) -> None:
        """What fills the first frame up is before the sound: what comes next follows its end."""
        [first, second] = frames_of(np.ones(TRACK_SAMPLES + 10, dtype=np.float32))

        assert np.flatnonzero(first)[0] == TRACK_SAMPLES - 10
        assert second.all()


class TestDecode:
    """Recordings of browsers and of mobile SDKs."""

    @pytest.mark.parametrize(
        ("mime_type", "container", "codec"),
        [("audio/webm;codecs=opus", "webm", "libopus"), ("video/mp4", "mp4", "aac")],
    )
    def test_recordings_of_browsers(self, mime_type: str, container: str, codec: str) -> None:
        """Opus in WebM and AAC in MP4 have the length and the pitch of what was said."""
        data = recorded(container, codec, tone(2.0, RATE_HZ))
        pcm = decode(mime_type, {}, data)

        assert abs(len(pcm) / RATE_HZ - 2.0) < 0.1
        assert abs(loudest_hz(pcm) - 440) < 2

    @pytest.mark.parametrize(("rate_hz", "channels"), [(24_000, 1), (48_000, 2), (16_000, 1)])
    def test_samples_of_mobile_sdks(self, rate_hz: int, channels: int) -> None:
        """16-bit samples of any usual rate, mono or stereo."""
        samples = np.repeat(tone(1.0, rate_hz) * 32767, channels).astype("<i2")
        attributes = {"sampleRate": str(rate_hz), "channels": str(channels)}
        pcm = decode("", attributes, samples.tobytes() + b"\0")

        assert abs(len(pcm) / RATE_HZ - 1.0) < 0.01
        assert abs(loudest_hz(pcm) - 440) < 2

    @pytest.mark.parametrize(
        ("mime_type", "attributes", "data"),
        [
            ("audio/webm", {}, b"no container at all"),
            ("audio/webm", {}, b""),
            ("video/mp4", {}, b"\0" * 1000),
            ("", {}, b"xx"),
            ("", {"sampleRate": "1", "channels": "1"}, b"xx"),
            ("", {"sampleRate": "many", "channels": "1"}, b"xx"),
            ("", {"sampleRate": "48000", "channels": "0"}, b"xx"),
            ("", PCM, b"xx" * int(24_000 * LONGEST_S + 1)),
        ],
    )
    def test_what_cannot_be_used(
        self, mime_type: str, attributes: dict[str, str], data: bytes
    ) -> None:
        """Whatever a participant sends, the answer is one error that says why."""
        with pytest.raises(BadRecording):
            decode(mime_type, attributes, data)

    def test_hours_in_a_few_bytes(self) -> None:
        """A recording of silence that lasts for minutes is not decoded to its end."""
        data = recorded("webm", "libopus", np.zeros(int(60 * RATE_HZ), dtype=np.float32))

        with pytest.raises(BadRecording, match="longer"):
            decode("audio/webm", {}, data)

    def test_other_codecs_are_not_opened(self) -> None:
        """A container may say that it holds anything."""
        with pytest.raises(BadRecording):
            decode("audio/webm", {}, recorded("matroska", "pcm_s16le", tone(0.5, RATE_HZ)))


def recorded(container: str, codec: str, pcm: Pcm) -> bytes:
    """Return sound as a file of a browser."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE_HZ, layout="mono")
        samples = (pcm * 32767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", RATE_HZ, stream.frame_size or None)
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    return file.getvalue()
