"""A participant that floods its room, in a process of its own.

    python -m tests.worker.room.attacker SERVER_URL TOKEN KIND COUNT

It writes a line each: `begun`, the number of actions so far, and `done`. It stays until its stdin
is closed. Kinds: see `KINDS`. It has the lowest priority: a real one would be on another machine.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from livekit import rtc

from protocol import wire
from worker.livekit_private.native_log import disable_native_log_capture

AT_ONCE = 200

Do = Callable[[rtc.LocalParticipant, int], Awaitable[object]]


async def _open_line(me: rtc.LocalParticipant, _: int) -> object:
    """Begin a typed line that never ends."""
    return await me.stream_text(topic=wire.CHAT_TOPIC)


async def _open_unknown(me: rtc.LocalParticipant, index: int) -> object:
    """Begin a text stream on a topic that no program reads."""
    return await me.stream_text(topic=f"unknown-{index}")


async def _open_again(me: rtc.LocalParticipant, _: int) -> object:
    """Begin one and the same stream again and again."""
    return await me.stream_text(topic="unknown", stream_id="again")


async def _send_line(me: rtc.LocalParticipant, index: int) -> object:
    """Type a whole line."""
    return await me.send_text(f"line {index}", topic=wire.CHAT_TOPIC)


async def _send_data(me: rtc.LocalParticipant, _: int) -> object:
    """Send a packet of data that no program reads."""
    return await me.publish_data(b"x" * 1000, topic="unknown")


async def _publish_track(me: rtc.LocalParticipant, index: int) -> object:
    """Publish a microphone that sends no sound."""
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track(f"idle {index}", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    return track, await me.publish_track(track, options)


KINDS: dict[str, tuple[Do, int]] = {  # the action, and how many at once
    "open_lines": (_open_line, AT_ONCE),
    "unknown_streams": (_open_unknown, AT_ONCE),
    "same_stream": (_open_again, AT_ONCE),
    "lines": (_send_line, AT_ONCE),
    "data": (_send_data, AT_ONCE),
    "tracks": (_publish_track, 1),
}


async def attack(server_url: str, token: str, kind: str, count: int) -> None:
    """Join, act so many times, and stay until stdin is closed."""
    do, at_once = KINDS[kind]
    disable_native_log_capture()
    room = rtc.Room()
    await room.connect(server_url, token, rtc.RoomOptions(single_peer_connection=False))
    _report("begun")
    kept: list[object] = []  # an object that is dropped would be closed
    for first in range(0, count, at_once):
        indices = range(first, min(first + at_once, count))
        kept += await asyncio.gather(
            *(do(room.local_participant, index) for index in indices), return_exceptions=True
        )
        _report(str(sum(not isinstance(each, BaseException) for each in kept)))
        if not room.isconnected():  # removed
            break
    _report("done")
    await asyncio.to_thread(sys.stdin.read)
    await room.disconnect()


def _report(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.nice(19)
    asyncio.run(attack(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
