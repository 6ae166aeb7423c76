"""When people speak and pause, by the real VAD over recorded speech."""

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import inference
from livekit.agents.vad import VADEventType

from harness.recordings import RATE_HZ, recording
from worker.engine.arrays import Pcm
from worker.frames import to_int16
from worker.sound.activity import PAUSE_WINDOWS, PeopleSpeech
from worker.vad import WINDOW_S

FRAME = 1920
FRAME_S = FRAME / RATE_HZ
MOST_APART_S = 2 * FRAME_S  # a frame, and what the two resamplers differ by
SAID = ("opening", "name", "station", "tired")


def frames(*sounds: Pcm) -> list[Pcm]:
    """Cut sounds, one after another and a second of silence, into frames."""
    sound = np.concatenate([*sounds, np.zeros(RATE_HZ, dtype=np.float32)])
    return list(sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME))


def changes(sound: list[Pcm]) -> list[tuple[str, float]]:
    """Return the reported changes of a sound, each with the sound's time at that moment."""
    said: list[tuple[str, float]] = []
    now_s = 0.0
    speech = PeopleSpeech(
        lambda: said.append(("start", now_s)),
        lambda _: said.append(("end", now_s)),
        lambda on: said.append(("pause" if on else "on", now_s)),
    )
    for frame in sound:
        now_s += FRAME_S
        speech.push(frame)
    return said


def test_a_pause_is_reported_before_the_end() -> None:
    """A pause within speech and its end are reported; speech ends only after a last pause."""
    said = recording("opening")
    middle = len(said) // 2
    pause = np.zeros(int(1.4 * PAUSE_WINDOWS * WINDOW_S * RATE_HZ), np.float32)
    kinds = [kind for kind, _ in changes(frames(said[:middle], pause, said[middle:]))]

    assert kinds[0] == "start"
    assert kinds[-2:] == ["pause", "end"]
    assert kinds[1:-1] == ["pause", "on"] * (len(kinds) // 2 - 1) + ["pause"], kinds
    assert len(kinds) >= 5, "the pause within the sentence is one"


async def test_starts_and_ends_are_those_of_livekits_own_vad() -> None:
    """Starts and ends of speech come when livekit-agents' VAD stream reports them."""
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    sound = frames(*(part for name in SAID for part in (silence, recording(name))))
    stream = inference.VAD().stream()
    for frame in sound:
        stream.push_frame(rtc.AudioFrame(to_int16(frame).tobytes(), RATE_HZ, 1, FRAME))
    stream.end_input()
    kinds = {VADEventType.START_OF_SPEECH: "start", VADEventType.END_OF_SPEECH: "end"}
    theirs = [(kinds[event.type], event.timestamp) async for event in stream if event.type in kinds]
    await stream.aclose()
    ours = [each for each in changes(sound) if each[0] in kinds.values()]

    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    assert len(ours) >= 2 * len(SAID)
    for (_, our_s), (_, their_s) in zip(ours, theirs, strict=True):
        assert our_s == pytest.approx(their_s, abs=MOST_APART_S)


def test_the_time_of_an_end_does_not_depend_on_the_frames_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same speech ends at the same time, whether frames last 10 or 80 ms."""
    now_s = 0.0
    monkeypatch.setattr("worker.sound.activity.time.monotonic", lambda: now_s)
    ends: list[float] = []
    sound = np.concatenate(frames(recording("name")))
    for samples in (FRAME // 8, FRAME):
        speech = PeopleSpeech(lambda: None, ends.append)
        for place, frame in enumerate(sound.reshape(-1, samples)):
            now_s = (place + 1) * samples / RATE_HZ
            speech.push(frame)

    assert len(ends) == 2
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
