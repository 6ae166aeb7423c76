"""Ask a persona something from a WAV file, write what it says to another.

pip install livekit==1.1.21
python examples/talk.py http://localhost:8080/token question.wav answer.wav chef
"""

import argparse
import asyncio
import contextlib
import json
import sys
import wave
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from livekit import rtc


class Refused(Exception):
    """The service's reason for a refusal that would be the same if asked again."""


async def call(endpoint, persona, mouth, on_sound, on_words, on_state):
    """Talk until cancelled, or until the service refuses; return its reason then.

    A call that breaks off is joined again, in the same room.
    """
    agent = {"agent_name": "moshi", "metadata": json.dumps({"persona": persona})}
    asked = {"room_config": {"agents": [agent]}}
    ears = {}  # by the track's SID

    async def hear(track, speaker):
        stream = rtc.AudioStream(track, sample_rate=24_000, num_channels=1)
        try:
            async for event in stream:
                if "lk.publish_on_behalf" not in speaker.attributes:  # on another worker, silent
                    on_sound(event.frame.data)
        finally:  # left open, they stop LiveKit's client after some forty
            await stream.aclose()

    def start_hearing(track, _, speaker):
        ears[track.sid] = run.create_task(hear(track, speaker))

    async def read(words, speaker):
        if speaker == room.local_participant.identity:  # what is recognised of our own question
            return
        with contextlib.suppress(rtc.data_stream.StreamError):  # broken off in the middle
            on_words(await words.read_all())

    def see(attributes, _):
        if state := attributes.get("lk.agent.state"):
            on_state(state)

    try:
        async with asyncio.TaskGroup() as run:
            while True:
                room, gone = rtc.Room(), asyncio.Event()
                room.on("disconnected", lambda _, gone=gone: gone.set())
                room.on("participant_attributes_changed", see)
                room.on("participant_connected", lambda other: see(other.attributes, other))
                room.on("track_subscribed", start_hearing)
                room.on("track_unsubscribed", lambda track, *_: ears.pop(track.sid).cancel())
                room.register_text_stream_handler(
                    "lk.transcription", lambda words, who: run.create_task(read(words, who))
                )
                try:
                    answer = await asyncio.to_thread(ask, endpoint, asked)
                    asked["room_name"] = answer["room_name"]
                    await room.connect(answer["server_url"], answer["participant_token"])
                    for other in room.remote_participants.values():  # there before us
                        see(other.attributes, other)
                    track = rtc.LocalAudioTrack.create_audio_track("mouth", mouth)
                    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
                    await room.local_participant.publish_track(track, options)
                    await gone.wait()
                except (OSError, rtc.ConnectError, rtc.participant.PublishTrackError) as error:
                    # full, or away for a moment
                    on_state(f"trying again: {error}")
                    await asyncio.sleep(1)
                finally:
                    await room.disconnect()
    except* Refused as refused:
        [why] = refused.exceptions
    return str(why)


def ask(endpoint, asked):
    """Send LiveKit's standard token request; return the answer."""
    if not endpoint.startswith(("http://", "https://")):
        raise Refused(f"{endpoint!r}: expected http://… or https://…")
    headers = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(endpoint, json.dumps(asked).encode(), headers), timeout=20) as answer:
            return json.load(answer)
    except HTTPError as error:
        said = f"{error}: {error.read().decode()}"
        later = error.code >= 500 or error.code == 429  # full, or asked too often
        raise (OSError if later else Refused)(said) from error


async def main(endpoint, question, answer, persona, seconds):
    """Ask once the persona is there, listen for some seconds, hang up.

    Return the reason if there was no conversation.
    """
    there = asyncio.Event()

    def show(state):
        print(f"({state})", flush=True)
        if state in ("listening", "speaking"):
            there.set()

    with wave.open(question) as asking, wave.open(answer, "wb") as heard:
        heard.setparams((1, 2, 24_000, 0, "NONE", ""))
        rate_hz, channels = asking.getframerate(), asking.getnchannels()
        mouth = rtc.AudioSource(rate_hz, channels)

        async def talk():
            await there.wait()
            while pcm := asking.readframes(rate_hz // 50):
                samples = len(pcm) // 2 // channels
                await mouth.capture_frame(rtc.AudioFrame(pcm, rate_hz, channels, samples))
            await asyncio.sleep(seconds)

        talking = asyncio.create_task(talk())
        calling = asyncio.create_task(
            call(endpoint, persona, mouth, heard.writeframes, print, show)
        )
        await asyncio.wait([calling, talking], return_when=asyncio.FIRST_COMPLETED)
        if calling.done():  # refused, or failed
            return calling.result()
        calling.cancel()
        await asyncio.wait([calling])
        return talking.result()


def options():
    """Read the command line; a wrong one ends the program with a usage line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("endpoint", help="as http://localhost:8080/token")
    parser.add_argument("question", help="a WAV file")
    parser.add_argument("answer", help="the WAV file to write")
    parser.add_argument("persona", nargs="?", default="assistant")
    parser.add_argument("seconds", nargs="?", type=float, default=10.0, help="to listen afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(**vars(options()))))
    except (OSError, EOFError, wave.Error) as error:  # a file, or the service is away
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
