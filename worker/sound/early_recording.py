"""Decodes the recording of a client that spoke before it was heard. Pure; takes milliseconds.

Browsers record Opus in WebM, Safari AAC in MP4; LiveKit's mobile SDKs send 16-bit samples. Every
byte comes from a participant: only these two codecs are opened, and 12 s at most are decoded.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO

import av
import av.error
import numpy as np

from worker.engine.arrays import Pcm
from worker.frames import TRACK_RATE_HZ

LONGEST_S = 12.0  # clients stop after 10 s
RATES_HZ = frozenset({8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
CHANNELS = frozenset({1, 2})
CONTAINERS = {  # what a browser calls it → FFmpeg's name
    "audio/webm": "webm",
    "video/webm": "webm",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/mp4": "mp4",
    "video/mp4": "mp4",
}
CODECS = ("opus", "libopus", "aac")


class BadRecording(Exception):
    """Sound that cannot be used; the message says why, for the log."""


def decode(mime_type: str, attributes: Mapping[str, str], data: bytes) -> Pcm:
    """Return a recording as `[n]` float32 at 48 kHz, mono. Raises `BadRecording`."""
    container = CONTAINERS.get(mime_type.partition(";")[0].strip().lower())
    try:
        frames = _read(container, data) if container else [_samples(attributes, data)]
        return _converted(frames)
    except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError) as error:
        raise BadRecording(f"it cannot be decoded: {type(error).__name__}") from error


def _read(container: str, data: bytes) -> Iterator[av.AudioFrame]:
    options = {"codec_whitelist": ",".join(CODECS)}  # FFmpeg tries decoders as it opens a file
    with av.open(BytesIO(data), mode="r", format=container, options=options) as file:
        stream = file.streams.audio[0]
        if stream.codec_context.name not in CODECS:
            raise BadRecording(f"its codec is {stream.codec_context.name}")
        yield from file.decode(stream)


def _samples(attributes: Mapping[str, str], data: bytes) -> av.AudioFrame:
    """Return 16-bit samples, interleaved, as a frame."""
    rate_hz, channels = int(attributes["sampleRate"]), int(attributes["channels"])
    if rate_hz not in RATES_HZ or channels not in CHANNELS:
        raise BadRecording(f"it has {channels} channels at {rate_hz} Hz")
    whole = len(data) // (2 * channels) * 2 * channels
    samples = np.frombuffer(data[:whole], dtype="<i2").reshape(1, -1)
    layout = "mono" if channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
    frame.sample_rate = rate_hz
    return frame


def _converted(frames: Iterator[av.AudioFrame] | list[av.AudioFrame]) -> Pcm:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=TRACK_RATE_HZ)
    pieces: list[Pcm] = []
    length_s = 0.0
    for frame in frames:
        length_s += frame.samples / frame.sample_rate
        if length_s > LONGEST_S:
            raise BadRecording(f"it is longer than {LONGEST_S:g} s")
        frame.pts = None
        pieces += [each.to_ndarray()[0] for each in resampler.resample(frame)]
    pieces += [each.to_ndarray()[0] for each in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(0, dtype=np.float32)
