"""How early recordings are decoded, and heard before later sound until that has caught up."""

import io

import av
import numpy as np
import pytest

from worker.engine.arrays import Pcm
from worker.frames import TRACK_RATE_HZ, TRACK_SAMPLES
from worker.sound.early_recording import LONGEST_S, BadRecording, decode
from worker.sound.early_sound import (
    LATE_MOST_TICKS,
    MOST_FRAMES,
    PAUSE_FRAMES,
    EarlySound,
    frames_of,
)

SILENCE = np.zeros(TRACK_SAMPLES, dtype=np.float32)
PCM = {"sampleRate": "24000", "channels": "1"}


def word(value: float) -> Pcm:
    """Return a loud frame of one value, which tells it from other frames."""
    return np.full(TRACK_SAMPLES, value, dtype=np.float32)


def value(frame: Pcm | None) -> float | None:
    """Return the value of a frame."""
    return None if frame is None else round(float(frame[0]), 3)


def tone(seconds: float, rate_hz: int) -> Pcm:
    """Return a tone of 440 Hz."""
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate_hz)) / rate_hz).astype("f4")


def loudest_hz(pcm: Pcm) -> float:
    """Return the loudest frequency of a sound."""
    return float(np.argmax(np.abs(np.fft.rfft(pcm))) * TRACK_RATE_HZ / len(pcm))


class TestEarlySound:
    """The delay of one track."""

    def test_the_recording_is_heard_before_held_frames(self) -> None:
        """Frames are held until the recording is there; then each is heard once, in order."""
        early = EarlySound()
        early.put(word(0.3))
        held = early.take()
        early.release([word(0.1), word(0.2)])
        early.put(word(0.4))
        heard = [value(early.take()) for _ in range(5)]

        assert held is None
        assert heard == [0.1, 0.2, 0.3, 0.4, None]
        assert early.is_over

    def test_the_longest_recording_keeps_its_first_words(self) -> None:
        """Frames that were held beside a recording of 12 s push none of it out."""
        early = EarlySound()
        for _ in range(MOST_FRAMES // 2):
            early.put(word(0.3))
        early.release([word(0.1), *[word(0.2)] * (MOST_FRAMES - 1)])

        assert value(early.take()) == 0.1

    def test_pauses_are_shortened_until_the_delay_is_gone(self) -> None:
        """Each pause keeps `PAUSE_FRAMES`, and silence before the first word is dropped."""
        early = EarlySound()
        pause = [SILENCE] * 20
        early.release([*pause, word(0.1), *pause, word(0.2), *pause])
        heard = [value(early.take()) for _ in range(2 + 2 * PAUSE_FRAMES + 1)]

        assert heard == [0.1, *[0.0] * PAUSE_FRAMES, 0.2, *[0.0] * PAUSE_FRAMES, None]
        assert early.is_over

    def test_noise_below_the_speech_counts_as_a_pause(self) -> None:
        """Frames much quieter than the speech are shortened like silence."""
        early = EarlySound()
        early.release([*[word(0.01)] * 10, *[word(0.5)] * 5, *[word(0.01)] * 10])
        heard = [value(early.take()) for _ in range(5 + PAUSE_FRAMES + 1)]

        assert heard == [*[0.5] * 5, *[0.01] * PAUSE_FRAMES, None]

    @pytest.mark.parametrize("frames", [1, MOST_FRAMES, 2 * MOST_FRAMES])
    def test_the_delay_of_speech_without_pauses_ends(self, frames: int) -> None:
        """After `LATE_MOST_TICKS` the frames that still wait are dropped."""
        early = EarlySound()
        early.release([word(0.1)] * frames)
        for _ in range(LATE_MOST_TICKS + 1):
            early.put(word(0.2))
            early.take()

        assert early.is_over

    def test_the_first_frame_of_a_recording_is_padded(self) -> None:
        """The samples that fill up the first frame come before the sound, none after its end."""
        [first, second] = frames_of(np.ones(TRACK_SAMPLES + 10, dtype=np.float32))

        assert np.flatnonzero(first)[0] == TRACK_SAMPLES - 10
        assert second.all()


class TestDecode:
    """Decoding of recordings of browsers and of mobile SDKs."""

    @pytest.mark.parametrize(
        ("mime_type", "container", "codec"),
        [("audio/webm;codecs=opus", "webm", "libopus"), ("video/mp4", "mp4", "aac")],
    )
    def test_recordings_of_browsers(self, mime_type: str, container: str, codec: str) -> None:
        """Opus in WebM and AAC in MP4 are decoded with their length and pitch."""
        data = recorded(container, codec, tone(2.0, TRACK_RATE_HZ))
        pcm = decode(mime_type, {}, data)

        assert abs(len(pcm) / TRACK_RATE_HZ - 2.0) < 0.1
        assert abs(loudest_hz(pcm) - 440) < 2

    @pytest.mark.parametrize(("rate_hz", "channels"), [(24_000, 1), (48_000, 2), (16_000, 1)])
    def test_samples_of_mobile_sdks(self, rate_hz: int, channels: int) -> None:
        """16-bit samples of any usual rate, mono or stereo, are decoded with their length and
        pitch."""
        samples = np.repeat(tone(1.0, rate_hz) * 32767, channels).astype("<i2")
        attributes = {"sampleRate": str(rate_hz), "channels": str(channels)}
        pcm = decode("", attributes, samples.tobytes() + b"\0")

        assert abs(len(pcm) / TRACK_RATE_HZ - 1.0) < 0.01
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
    def test_a_recording_that_cannot_be_decoded_raises_bad_recording(
        self, mime_type: str, attributes: dict[str, str], data: bytes
    ) -> None:
        """Whatever a participant sends, the only error is `BadRecording`."""
        with pytest.raises(BadRecording):
            decode(mime_type, attributes, data)

    def test_a_recording_that_is_too_long_is_refused(self) -> None:
        """A minute of silence, which is few bytes, is refused as longer than allowed."""
        data = recorded("webm", "libopus", np.zeros(int(60 * TRACK_RATE_HZ), dtype=np.float32))

        with pytest.raises(BadRecording, match="longer"):
            decode("audio/webm", {}, data)

    def test_other_codecs_are_not_opened(self) -> None:
        """A container with another codec than Opus or AAC is refused."""
        with pytest.raises(BadRecording):
            decode("audio/webm", {}, recorded("matroska", "pcm_s16le", tone(0.5, TRACK_RATE_HZ)))


def recorded(container: str, codec: str, pcm: Pcm) -> bytes:
    """Return sound as a file that a browser would send."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=TRACK_RATE_HZ, layout="mono")
        samples = (pcm * 32767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = TRACK_RATE_HZ
        resampler = av.AudioResampler(
            stream.format, "mono", TRACK_RATE_HZ, stream.frame_size or None
        )
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    return file.getvalue()
