"""Hands each event of LiveKit's native library to the one queue that waits for it.

livekit 1.1.21 offers each event to every subscriber of the process (`_ffi_client.py`
`FfiQueue.put`): every room's loop wakes up for the events of all rooms, and each open text stream
runs a filter over all of them. So 4,000 streams of one participant silenced all rooms of a worker,
and 64 rooms took a core to tell each other what is none of their business (docs/benchmarks.md).
Here an event finds its queue by the handle or the request that it belongs to.
"""

# The SDK has no public way to any of this; the package is pinned to an exact version.
# pyright: reportPrivateUsage=false

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, FfiQueue
from livekit.rtc._utils import Queue

# What a participant may send in one stream; the native library ends a longer one with an error.
STREAM_BYTES = 40_000
ROOMS_OWN = frozenset({"publish_track", "unpublish_track"})  # answers that a room's queue waits for


@dataclass(frozen=True, slots=True)
class Target:
    """A queue, and the loop that it belongs to."""

    loop: asyncio.AbstractEventLoop
    queue: "Queue[Any]"

    def give(self, event: Any) -> bool:
        """Put an event into the queue, from any thread; False where the loop is closed."""
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, event)
        except RuntimeError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """One connection to a room, and what it wants of what reaches it."""

    target: Target
    wants: Callable[[Any], bool]  # a room event or an RPC invocation; called on the SDK's thread


class NativeEvents(FfiQueue[Any]):
    """The process's queue of native events. `put` runs on the SDK's threads, all else on any."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[int, Target] = {}
        self._rooms: dict[int, Place] = {}  # by the room's handle
        self._callers: dict[int, Place] = {}  # by the handle of its local participant
        self._answers: dict[int, Target] = {}  # by the request's id
        self._forget: dict[Queue[Any], Callable[[], object]] = {}  # takes a queue out of the above
        self._asked = threading.local()  # who subscribed last, and has not sent its request yet
        self._ways: dict[str, Callable[[Any], bool]] = {
            "audio_stream_event": self._to_stream,
            "room_event": self._to_room,
            "rpc_method_invocation": self._to_callee,
        }

    def put(self, item: Any) -> None:
        """Hand an event over; one that belongs to no known queue is offered to all others."""
        way = self._ways.get(item.WhichOneof("message"), self._to_asker)
        with self._lock:  # a queue that moves between the two looks would miss the event
            if not way(item):
                super().put(item)

    def subscribe(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        filter_fn: Callable[[Any], bool] | None = None,
    ) -> "Queue[Any]":
        """Subscribe as the SDK does. Without a filter it is for the answer to the next request."""
        loop = loop or asyncio.get_running_loop()
        queue = super().subscribe(loop, filter_fn)
        if filter_fn is None:
            self._asked.target = Target(loop, queue)
        return queue

    def unsubscribe(self, queue: "Queue[Any]") -> None:
        """Give a queue no more events, whatever it was for."""
        with self._lock:
            self._forget.pop(queue, partial(super().unsubscribe, queue))()

    def asking(self, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Make the SDK's `request` one that tells us whose answer is whose."""

        def request(message: Any) -> Any:
            asker, self._asked.target = getattr(self._asked, "target", None), None
            if message.HasField("connect"):
                options = message.connect.options.data_stream
                options.max_payload_byte_length = STREAM_BYTES
            response = send(message)
            if asker is not None:
                kind = response.WhichOneof("message")
                self._expect(getattr(getattr(response, kind), "async_id", 0), asker)
            return response

        return request

    def add_stream(self, handle: int, target: Target) -> None:
        """Send the events of an audio stream to its queue."""
        with self._lock:
            self._streams[handle] = target
            self._forget[target.queue] = partial(self._streams.pop, handle, None)

    def attach(self, room: rtc.Room, wants: Callable[[Any], bool]) -> None:
        """Send a connected room its own events, as far as they are wanted, and no others'."""
        queue, handle = room._ffi_queue, room._ffi_handle
        assert handle is not None, "attach a room once it is connected"
        caller = room.local_participant._ffi_handle.handle
        with self._lock:
            if not self._is_subscribed(queue):
                return  # it has ended meanwhile
            super().unsubscribe(queue)
            place = Place(Target(room._loop, queue), wants)
            self._rooms[handle.handle] = self._callers[caller] = place
            self._forget[queue] = partial(self._left, handle.handle, caller)

    def _left(self, room: int, caller: int) -> None:
        del self._rooms[room], self._callers[caller]

    def _expect(self, request_id: int, asker: Target) -> None:
        """Give this queue the answer to its request alone; what came before it had with all."""
        with self._lock:
            if request_id and self._is_subscribed(asker.queue):
                super().unsubscribe(asker.queue)
                self._answers[request_id] = asker
                self._forget[asker.queue] = partial(self._answers.pop, request_id, None)

    def _is_subscribed(self, queue: "Queue[Any]") -> bool:
        return any(each is queue for each, _, _ in self._subscribers)

    def _to_stream(self, event: Any) -> bool:
        handle = event.audio_stream_event.stream_handle
        target = self._streams.get(handle)
        if target is not None and not target.give(event):
            self.unsubscribe(target.queue)
        return target is not None

    def _to_room(self, event: Any) -> bool:
        return _offer(self._rooms.get(event.room_event.room_handle), event, event.room_event)

    def _to_callee(self, event: Any) -> bool:
        call = event.rpc_method_invocation
        return _offer(self._callers.get(call.local_participant_handle), event, call)

    def _to_asker(self, event: Any) -> bool:
        kind = event.WhichOneof("message")
        if kind in ROOMS_OWN:  # rare; and no request of theirs tells which room waits
            for place in self._rooms.values():
                place.target.give(event)
            return False
        target = self._answers.get(getattr(getattr(event, kind), "async_id", 0))
        if target is not None:
            target.give(event)
        return target is not None


def _offer(place: Place | None, event: Any, about: Any) -> bool:
    """Give a connection what it wants of an event; False where there is no such connection."""
    if place is not None and place.wants(about):
        place.target.give(event)
    return place is not None


@cache
def native_events() -> NativeEvents:
    """Put our queue in the place of the SDK's, once, and give it. Whoever subscribed stays so."""
    client, events = FfiClient.instance, NativeEvents()
    events._lock, events._subscribers = client._queue._lock, client._queue._subscribers
    client._queue = events
    client.request = events.asking(client.request)  # pyright: ignore[reportAttributeAccessIssue]
    return events
