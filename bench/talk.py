"""Measure the pocket Moshi's conversations in rooms, from a published track to a subscriber.

Needs a running stack (`make run`), espeak-ng and the `training` group. In a room for each persona a
person whom it never heard speaks (espeak-ng's voices that training left out), interrupts every
fourth answer, then is silent, then noisy. What it says while the person speaks is a back-channel;
"Still there?" after a long silence is no false start. Both are counted apart.

    python -m bench.talk --turns 16 --quiet 60
    python -m bench.talk --echo -30    # over loudspeakers: its own voice comes back so much softer
"""

import argparse
import asyncio
import math
import random
from collections import deque
from collections.abc import Coroutine

import httpx
import numpy as np
from livekit import rtc

from bench.open_ears import OpenEars
from bench.talk_figures import Answer, Figures, judge, report
from harness.rooms import asking_for
from protocol.config.settings import load_settings
from training.corpus import person_clip
from training.ears import Ears, spelled
from training.repertoire import COMMON, NEVER_TRAINED, PEOPLE, PERSONA_VOICES, Use, lines
from training.sound import gain
from worker.engine.arrays import Pcm
from worker.livekit_private.native_log import disable_native_log_capture

RATE_HZ = 24_000
CHUNK = RATE_HZ // 100  # 10 ms
VOICED_DBFS = -45.0
OVER_S = 0.7  # of silence: the answer is over
PATIENCE_S = 5.0  # for an answer
NOISE_DBFS = -45.0
LATEST_ECHO = 20  # pieces of 10 ms
STILL = {spelled(text) for text in COMMON[Use.STILL]}


class Room:
    """A person in a room with one persona, using LiveKit's names."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.sound: list[Pcm] = []  # 10 ms each
        self.at_s: list[float] = []  # when each came
        self.loud: list[bool] = []  # whether each sounds
        self.texts: list[tuple[float, str]] = []  # of segments, by their end
        self.background = 0.0
        self.echo = 0.0  # how much of what is heard comes back into the microphone
        self._coming_back: deque[Pcm] = deque(maxlen=LATEST_ECHO)
        self._speech: Pcm = np.zeros(0, np.float32)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def join(self, url: str, persona: str) -> None:
        """Join, publish and listen; return when the persona is live."""
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
            answer = await http.post("/token", json=asking_for(persona))
        answer.raise_for_status()
        self.room.on("track_subscribed", lambda track, *_: self._spawn(self._hear(track)))
        self.room.register_text_stream_handler(
            "lk.transcription", lambda reader, who: self._spawn(self._read(reader, who))
        )
        given = answer.json()
        await self.room.connect(given["server_url"], given["participant_token"])
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("mouth", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._spawn(self._speak(source))
        while len(self.sound) < 100:  # noqa: ASYNC110  LiveKit sends no event for it
            await asyncio.sleep(0.1)

    async def leave(self) -> None:
        """Leave the room."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()

    async def say(self, pcm: Pcm) -> float:
        """Say a sound; return when the room heard its end, without the source's queue."""
        self._speech = pcm
        while len(self._speech):  # noqa: ASYNC110  taken 10 ms at a time
            await asyncio.sleep(0.005)
        return self._loop.time() + 0.05

    async def onset(self, within_s: float, since: int) -> int | None:
        """Return the first piece from `since` on that sounds for 50 ms, or `None` in time."""
        deadline_s = self._loop.time() + within_s
        while self._loop.time() < deadline_s:
            loud = self.loud[since:]
            runs = np.convolve(loud, np.ones(5), mode="valid") == 5 if len(loud) >= 5 else []
            if np.any(runs):
                return since + int(np.argmax(runs))
            await asyncio.sleep(0.02)
        return None

    async def end(self, since: int) -> int:
        """Return the piece after the last that sounds, after enough silence."""
        need = int(OVER_S * 100)
        while True:
            loud = np.flatnonzero(self.loud[since:])
            last = since + int(loud[-1]) + 1 if len(loud) else since
            if len(self.sound) - last >= need:
                return last
            await asyncio.sleep(0.02)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10)
        async for event in stream:
            samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32)
            self.sound.append(samples / np.float32(32768))
            self._coming_back.append(self.sound[-1])
            self.at_s.append(self._loop.time())
            self.loud.append(bool(np.mean(self.sound[-1] ** 2) > 10 ** (VOICED_DBFS / 10)))

    async def _read(self, reader: rtc.TextStreamReader, who: str) -> None:
        text = await reader.read_all()
        if who != self.room.local_participant.identity:
            self.texts.append((self._loop.time(), text))

    async def _speak(self, source: rtc.AudioSource) -> None:
        chance = np.random.default_rng()
        while True:
            wave = self.background * chance.standard_normal(CHUNK)
            if self._coming_back:
                wave += self.echo * self._coming_back.popleft()
            said, self._speech = self._speech[:CHUNK], self._speech[CHUNK:]
            wave[: len(said)] += said
            samples = (wave.clip(-1, 1) * 32767).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, CHUNK))


class Talk:
    """One person's conversation with one persona."""

    def __init__(self, room: Room, persona: str, ears: Ears, rng: random.Random) -> None:
        self._room, self._ears, self._rng = room, ears, rng
        self.figures = Figures(persona)

    async def run(self, turns: int, quiet_s: float) -> Figures:
        """Talk, then be silent, then make noise."""
        await self._room.end(0)
        for number in range(turns):
            await self._turn(interrupts=number % 4 == 3)
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
        for background in (0.0, 10 ** (NOISE_DBFS / 20)):
            self._room.background = background
            await self._listen(quiet_s)
        return self.figures

    async def _turn(self, *, interrupts: bool) -> None:
        room, figures = self._room, self.figures
        since = await room.end(len(room.sound))
        over_s = await room.say(self._speech())
        figures.turns += 1
        backed = any(room.loud[since:])
        figures.backs += backed
        while any(room.loud[-5:]):  # noqa: ASYNC110  LiveKit sends no event for it
            await asyncio.sleep(0.01)
        begin = await room.onset(PATIENCE_S, len(room.sound))
        if begin is None:
            return
        figures.answers_ms.append((room.at_s[begin] - over_s) * 1000)
        if interrupts:
            await asyncio.sleep(
                max(0.0, room.at_s[begin] + 0.8 - asyncio.get_running_loop().time())
            )
            if any(room.loud[-10:]):
                figures.interruptions += 1
                await self._interrupt()
                return
        await self._understand(begin, await room.end(begin), backed=backed)

    async def _interrupt(self) -> None:
        """Speak over the persona; return how long it continues, or `None` if it does not stop."""
        room = self._room
        begun_s, at = asyncio.get_running_loop().time() + 0.05, len(room.sound)
        pcm = np.concatenate([self._speech(), np.zeros(1, np.float32)])
        over_s = await room.say(pcm)
        loud = np.array(room.loud[at:], dtype=bool)
        times = np.array(room.at_s[at : at + len(loud)])
        during = times[loud & (times < over_s)]
        silenced_ms = float(during[-1] - begun_s) * 1000 if len(during) else 0.0
        self.figures.silenced_ms.append(max(0.0, silenced_ms))
        begin = await room.onset(PATIENCE_S, len(room.sound))
        if begin is not None:
            await room.end(begin)

    async def _understand(self, begin: int, end: int, *, backed: bool) -> None:
        """Keep the answer with its transcript, to be judged after all talks."""
        room = self._room
        await asyncio.sleep(0.6)  # a segment is closed after a pause
        texts = [text for at_s, text in room.texts if at_s > room.at_s[begin]]
        room.texts.clear()
        pcm = np.concatenate(room.sound[max(0, begin - 5) : end + 5])
        self.figures.answers.append(Answer(pcm, spelled(" ".join(texts)), backed))

    async def _listen(self, quiet_s: float) -> None:
        room, figures = self._room, self.figures
        await room.end(len(room.sound))
        until_s = asyncio.get_running_loop().time() + quiet_s
        figures.quiet_s += quiet_s
        while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            begin = await room.onset(left_s, len(room.sound))
            if begin is None:
                return
            end = await room.end(begin)
            pcm = np.concatenate(room.sound[begin:end])
            heard = await asyncio.to_thread(self._ears.hear, pcm)
            still = heard is not None and spelled(heard) in STILL
            figures.stills += still
            figures.false_starts += not still

    def _speech(self) -> Pcm:
        rng = self._rng
        return person_clip(rng.choice(PEOPLE), rng.choice(NEVER_TRAINED), rng).pcm


async def talk(url: str, persona: str, options: argparse.Namespace) -> Figures:
    """Run one room from joining to leaving."""
    room = Room()
    room.echo = gain(options.echo)
    await room.join(url, persona)
    try:
        rng = random.Random(f"{options.seed} {persona}")
        ears = Ears([line.text for line in lines()])
        return await Talk(room, persona, ears, rng).run(options.turns, options.quiet)
    finally:
        await room.leave()


async def main() -> None:
    """Run all personas at once."""
    disable_native_log_capture()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default=f"http://127.0.0.1:{load_settings().port}")
    parser.add_argument("--turns", type=int, default=16)
    parser.add_argument(
        "--quiet", type=float, default=60.0, help="seconds of silence, and of noise"
    )
    parser.add_argument("--echo", type=float, default=-math.inf, help="dB; unset: none")
    parser.add_argument("--personas", nargs="*", default=list(PERSONA_VOICES))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    talks = [talk(options.url, each, options) for each in options.personas]
    all_figures = list(await asyncio.gather(*talks))
    sentences = [line.text for line in lines()]
    ears, open_ears = Ears(sentences), OpenEars(sentences)
    for each in all_figures:
        judge(each, ears, open_ears)
    report(all_figures)


if __name__ == "__main__":
    asyncio.run(main())
