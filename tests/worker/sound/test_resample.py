"""What resampling between WebRTC's 48 kHz and the model's 24 kHz lets through."""

import asyncio

import numpy as np
import numpy.typing as npt
import pytest
from livekit import rtc

from harness.person import Person, eventually, person
from harness.rooms import all_free, in_talk
from harness.stack import Stack
from worker.engine.arrays import Pcm
from worker.frames import FRAME_S, RATE_HZ, TRACK_RATE_HZ, to_int16
from worker.sound.resample import Resampler

AMPLITUDE = 0.25


def tone(hz: float, rate_hz: int, frames: int) -> list[Pcm]:
    """Return frames of 80 ms of one tone."""
    samples = round(FRAME_S * rate_hz)
    times = np.arange(frames * samples) / rate_hz
    wave = (AMPLITUDE * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    return list(wave.reshape(frames, samples))


def level_db(wave: npt.NDArray[np.float32], hz: float, rate_hz: int) -> float:
    """Return how loud a frequency is in a wave, against the tone that was put in."""
    window = np.hanning(len(wave))
    turned = wave * window * np.exp(-2j * np.pi * hz * np.arange(len(wave)) / rate_hz)
    return float(20 * np.log10(2 * abs(turned.sum()) / window.sum() / AMPLITUDE + 1e-9))


def through(resampler: Resampler, frames: list[Pcm]) -> npt.NDArray[np.float32]:
    """Return a resampled stream without its beginning."""
    return np.concatenate([resampler.feed(frame) for frame in frames])[1000:]


@pytest.mark.parametrize("hz", [100, 1_000, 8_000, 10_000, 11_000])
def test_speech_passes_whole_both_ways(hz: int) -> None:
    """Tones up to 11 kHz lose nothing on the way to the model or back."""
    heard = through(Resampler(down=2), tone(hz, TRACK_RATE_HZ, 12))
    said = through(Resampler(up=2), tone(hz, RATE_HZ, 12))

    assert level_db(heard, hz, RATE_HZ) == pytest.approx(0.0, abs=0.05)
    assert level_db(said, hz, TRACK_RATE_HZ) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("hz", [12_200, 13_000, 15_000, 20_000])
def test_higher_tones_are_not_folded_down(hz: int) -> None:
    """A tone that 24 kHz cannot carry is not heard as a lower one."""
    heard = through(Resampler(down=2), tone(hz, TRACK_RATE_HZ, 12))

    assert level_db(heard, RATE_HZ - hz, RATE_HZ) < -80


@pytest.mark.parametrize("hz", [1_000, 8_000, 11_000])
def test_a_tone_is_not_mirrored_above_12_khz(hz: int) -> None:
    """A tone of the model is not heard a second time above 12 kHz."""
    said = through(Resampler(up=2), tone(hz, RATE_HZ, 12))

    assert level_db(said, RATE_HZ - hz, TRACK_RATE_HZ) < -80


def test_frames_join_without_a_seam_and_are_at_most_5_ms_late() -> None:
    """Frames of any length give the same sound, and both ways together delay it by 5 ms at most."""
    rng = np.random.default_rng(1)
    noise = rng.uniform(-1, 1, 24_000).astype(np.float32)
    cut = Resampler(up=2)
    pieces = [cut.feed(noise[at:to]) for at, to in ((0, 240), (240, 2400), (2400, 24_000))]
    impulse = np.zeros(1920, dtype=np.float32)
    impulse[480] = 1.0
    back = Resampler(down=2).feed(Resampler(up=2).feed(impulse))

    np.testing.assert_allclose(np.concatenate(pieces), Resampler(up=2).feed(noise), atol=1e-6)
    assert 0 < int(np.argmax(np.abs(back))) - 480 <= 0.005 * RATE_HZ


async def heard_back(ann: Person, hz: int) -> npt.NDArray[np.float32]:
    """Return about a second of a persona's answer to a tone, at 48 kHz."""
    source = rtc.AudioSource(TRACK_RATE_HZ, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await ann.room.local_participant.publish_track(track, options)
    said = next(iter(ann.personas[0].track_publications.values()))
    await eventually(lambda: said.track is not None, "the persona's track is subscribed to")
    voice = said.track
    assert voice is not None
    stream = rtc.AudioStream(voice, sample_rate=TRACK_RATE_HZ, num_channels=1, frame_size_ms=10)
    saying = asyncio.create_task(_say(source, tone(hz, TRACK_RATE_HZ, 60)))
    chunks: list[npt.NDArray[np.float32]] = []
    async for event in stream:
        chunk = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32) / np.float32(
            32768
        )
        if chunks or level_db(chunk, hz, TRACK_RATE_HZ) > -30:
            chunks.append(chunk)
        if len(chunks) == 150 or saying.done():
            break
    await stream.aclose()
    await saying
    await ann.room.local_participant.unpublish_track(publication.sid)
    return np.concatenate([*chunks[50:], np.zeros(1, dtype=np.float32)])


def loudest_db(wave: npt.NDArray[np.float32], hz: float) -> float:
    """Return a frequency's level in the loudest 100 ms: a busy machine leaves gaps in others."""
    size = TRACK_RATE_HZ // 10
    return max(
        level_db(wave[at : at + size], hz, TRACK_RATE_HZ) for at in range(0, len(wave), size)[:-1]
    )


async def _say(source: rtc.AudioSource, frames: list[Pcm]) -> None:
    for pcm in frames:
        samples = to_int16(pcm).tobytes()
        await source.capture_frame(rtc.AudioFrame(samples, TRACK_RATE_HZ, 1, len(pcm)))
    await source.wait_for_playout()


async def test_the_echo_of_a_high_tone_is_as_loud_as_of_a_low_one(
    roomy: Stack, measured: list[str]
) -> None:
    """A tone of 10.5 kHz comes back from the room as loud as one of 1 kHz.

    The SDK's own resampling lost 5 dB on the way in and 4 on the way out.
    """
    async with person(roomy.url) as ann:
        await in_talk(ann)
        await ann.unpublish()
        low, high = [loudest_db(await heard_back(ann, hz), hz) for hz in (1_000, 10_500)]
    await all_free(roomy)
    measured.append(f"the echo of 10.5 kHz is {high - low:+.1f} dB against 1 kHz")

    assert low == pytest.approx(0.0, abs=3.0)
    assert high == pytest.approx(low, abs=1.5)
