"""Sets attributes of the worker's own participants.

LiveKit's native library waits for the server's answer, and misses one that comes before it has
noted that it waits (livekit 1.1.21): two of 600 on a busy machine. It then waits for 5 s although
everybody has seen the change, so that a persona was silent for so long, or a move given up.
"""

import asyncio

from livekit import rtc

CHANGED = "participant_attributes_changed"


async def set_attributes(room: rtc.Room, changes: dict[str, str]) -> None:
    """Set attributes of a room's own participant; return once LiveKit has answered or shows them.

    The next change of the same attribute waits for this one, or could overtake it.
    """
    own = room.local_participant
    shown = asyncio.get_running_loop().create_future()

    def look(_: dict[str, str], who: rtc.Participant) -> None:
        are_there = all(own.attributes.get(key, "") == value for key, value in changes.items())
        if who is own and are_there and not shown.done():
            shown.set_result(None)

    asking = asyncio.create_task(own.set_attributes(changes), name="attributes")
    room.on(CHANGED, look)
    try:
        await asyncio.wait([asking, shown], return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
    finally:
        room.off(CHANGED, look)
        asking.cancel()
