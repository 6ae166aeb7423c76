"""Routes each event of LiveKit's native library to the one queue or function that waits for it.

livekit 1.1.21 offers each event to every subscriber of the process (`_ffi_client.py`
`FfiQueue.put`): every room's loop wakes up for the events of all rooms, and each open text stream
filters all of them. 4,000 streams of one participant silenced all rooms of a worker, and 64 rooms
used a whole core to discard each other's events (docs/benchmarks.md). Here an event finds its queue
by the handle or the request that it belongs to.
"""

# LiveKit has no public API for any of this; the package is pinned to an exact version.
# pyright: reportPrivateUsage=false

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, FfiQueue
from livekit.rtc._utils import Queue

STREAM_BYTES = 40_000  # of one stream; the native library ends a longer one with an error
# Answers that a room's own queue waits for; no request of the room's is known by their id.
ROOM_ANSWERS = frozenset({"publish_track", "unpublish_track"})

Key = tuple[str, int]  # the kind of an event, and the handle or request that it belongs to


@dataclass(frozen=True, slots=True)
class Route:
    """A queue of events, with its event loop and the events that it accepts."""

    loop: asyncio.AbstractEventLoop
    queue: "Queue[Any]"
    accepts: Callable[[Any], bool] = lambda _: True  # called on LiveKit's thread

    def put(self, event: Any) -> bool:
        """Put an event into the queue, from any thread; return False if the loop is closed."""
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, event)
        except RuntimeError:
            return False
        return True


class NativeEvents(FfiQueue[Any]):
    """Replaces LiveKit's queue of native events. `put` runs on LiveKit's threads, all else on any.

    Its base class offers an event that has no route to all other subscribers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[Key, Route] = {}
        self._keys: dict[Queue[Any], list[Key]] = {}
        self._listeners: dict[Key, Callable[[Any], None]] = {}
        self._requester = threading.local()  # the route of the last subscriber, until it requests

    def put(self, item: Any) -> None:
        """Put an event into its queue, or offer it to all subscribers without a route."""
        kind = item.WhichOneof("message")
        message = getattr(item, kind)
        key = _key(kind, message)
        if (listener := self._listeners.get(key)) is not None:
            listener(item)
            return
        with self._lock:  # a queue that gets a route meanwhile would miss the event
            route = self._routes.get(key)
            if kind in ROOM_ANSWERS:
                for (room_kind, _), room in self._routes.items():
                    if room_kind == "room_event":
                        room.put(item)
            if route is None:
                super().put(item)
            elif route.accepts(message) and not route.put(item):
                self.unsubscribe(route.queue)

    def subscribe(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        filter_fn: Callable[[Any], bool] | None = None,
    ) -> "Queue[Any]":
        """Subscribe as LiveKit does; without a filter, for the answer to the next request."""
        loop = loop or asyncio.get_running_loop()
        queue = super().subscribe(loop, filter_fn)
        if filter_fn is None:
            self._requester.route = Route(loop, queue)
        return queue

    def unsubscribe(self, queue: "Queue[Any]") -> None:
        with self._lock:
            super().unsubscribe(queue)
            for key in self._keys.pop(queue, ()):
                del self._routes[key]

    def wrap_request(self, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return LiveKit's `request` so that it routes the answer to its requester."""

        def request(message: Any) -> Any:
            route, self._requester.route = getattr(self._requester, "route", None), None
            if message.HasField("connect"):
                options = message.connect.options.data_stream
                options.max_payload_byte_length = STREAM_BYTES
            response = send(message)
            if route is not None:
                answered = getattr(response, response.WhichOneof("message"))
                if request_id := getattr(answered, "async_id", 0):
                    self._replace_subscription(route, ("answer", request_id))
            return response

        return request

    def add_listener(self, kind: str, number: int, listener: Callable[[Any], None]) -> None:
        """Give a function all events of a kind that belong to a handle or request.

        It is called on LiveKit's thread, and wakes no loop.
        """
        self._listeners[kind, number] = listener

    def remove_listener(self, kind: str, number: int) -> None:
        self._listeners.pop((kind, number), None)

    def add_room(self, room: rtc.Room, accepts: Callable[[Any], bool]) -> None:
        """Route the events of a connected room, as far as it accepts them.

        `accepts` gets room events and RPC invocations.
        """
        handle = room._ffi_handle
        assert handle is not None, "add a room once it is connected"
        caller = room.local_participant._ffi_handle.handle
        route = Route(room._loop, room._ffi_queue, accepts)
        keys = ("room_event", handle.handle), ("rpc_method_invocation", caller)
        self._replace_subscription(route, *keys)

    def _replace_subscription(self, route: Route, *keys: Key) -> None:
        """Route events to a subscribed queue, which then gets no others."""
        with self._lock:
            if any(queue is route.queue for queue, _, _ in self._subscribers):
                super().unsubscribe(route.queue)
                self._add(route, *keys)

    def _add(self, route: Route, *keys: Key) -> None:
        self._keys[route.queue] = [*keys]
        self._routes |= dict.fromkeys(keys, route)


def _key(kind: str, message: Any) -> Key:
    """Return the key of the route that an event takes."""
    match kind:
        case "audio_stream_event":
            return kind, message.stream_handle
        case "room_event":
            return kind, message.room_handle
        case "rpc_method_invocation":
            return kind, message.local_participant_handle
        case _:
            return "answer", getattr(message, "async_id", 0)


@cache
def native_events() -> NativeEvents:
    """Replace LiveKit's queue by ours at the first call, with its subscribers; return ours."""
    client, events = FfiClient.instance, NativeEvents()
    events._lock, events._subscribers = client._queue._lock, client._queue._subscribers
    client._queue = events
    client.request = events.wrap_request(client.request)  # pyright: ignore[reportAttributeAccessIssue]
    return events
