"""The minds of a process on a thread of their own, for hosts that run on other threads."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Concatenate, ParamSpec

import structlog

from mind.events import MindEvent
from mind.minds import Minds
from mind.room import RoomMind
from protocol.config.settings import Settings
from protocol.minds import MindTables, load_minds
from protocol.room_spec import PersonaSpec

END_WITHIN_S = 10.0
P = ParamSpec("P")
OnEvent = Callable[[MindEvent], None]

log = structlog.get_logger(__name__)


def start_minds(settings: Settings) -> "MindThread | None":
    """Start the minds that persona files define; None: there are none. Raises `InvalidInput`."""
    minds = load_minds(sorted(settings.personas_dir.glob("*.toml")), settings.model)
    return MindThread(lambda: Minds(minds, settings), minds) if minds else None


class MindThread:
    """Runs `Minds` until `close`. Call from any thread."""

    def __init__(self, make: Callable[[], Minds], tables: MindTables | None = None) -> None:
        """`make` is called on the new thread. Raises its errors and those of the minds' start.

        `tables`: what persona files say of these minds.
        """
        self.tables: MindTables = tables or {}
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._minds: Minds | None = None
        self._failure: Exception | None = None
        self._begun = threading.Event()
        self._end = asyncio.Event()
        self._rooms: set[RoomHandle] = set()
        self._thread = threading.Thread(target=self._run, name="minds", daemon=True)
        self._thread.start()
        self._begun.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def open_room(self, personas: Iterable[PersonaSpec], on_event: OnEvent) -> "RoomHandle":
        """Open a room. `on_event` is called on the minds' thread, and must return at once."""
        handle = RoomHandle(self._loop)
        self._post(self._open, handle, tuple(personas), on_event)
        return handle

    def close(self) -> None:
        """Close all rooms and connections; wait for it."""
        self._post(self._end.set)
        self._thread.join(END_WITHIN_S)

    def _post(self, call: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except Exception as error:
                self._failure = error
            finally:
                self._begun.set()

    async def _serve(self) -> None:
        async with self._make() as self._minds:
            self._begun.set()
            await self._end.wait()
            await asyncio.gather(*(room.wait_closed() for room in tuple(self._rooms)))

    def _open(
        self, handle: "RoomHandle", personas: tuple[PersonaSpec, ...], on_event: OnEvent
    ) -> None:
        assert self._minds is not None
        self._rooms.add(handle)
        handle.begin(self._minds.open_room(personas), on_event, self._rooms.discard)


class RoomHandle:
    """One room's mind, from another thread. Calls keep their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without a mind; `begin` gives it before any call that comes later."""
        self._loop = loop
        self._mind: RoomMind | None = None
        self._pump: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def call(
        self,
        method: Callable[Concatenate[RoomMind, P], object],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> None:
        """Have the mind do something, as `call(RoomMind.heard, "Ann", "Hello", final=True)`."""
        self._post(lambda: method(self._served(), *arguments, **options))

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way, or a line of it has not ended."""
        return self._mind is not None and self._mind.is_answering

    def close(self) -> None:
        """Break off the answer. Events that are under way may still come."""
        self._post(self._shut)

    def begin(
        self, mind: RoomMind, on_event: OnEvent, ended: Callable[["RoomHandle"], None]
    ) -> None:
        """Serve a mind. On the minds' thread, as all that follows."""
        self._mind = mind
        self._pump = asyncio.create_task(_pass_on(mind, on_event), name="mind events")
        self._pump.add_done_callback(lambda _: ended(self))

    async def wait_closed(self) -> None:
        """Close the mind and wait for its last event."""
        await self._served().aclose()
        assert self._pump is not None
        await self._pump

    def _served(self) -> RoomMind:
        assert self._mind is not None
        return self._mind

    def _post(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the thread has ended, and the room with it
            self._loop.call_soon_threadsafe(call)

    def _shut(self) -> None:
        self._closing = asyncio.create_task(self.wait_closed(), name="mind closes")


async def _pass_on(mind: RoomMind, on_event: OnEvent) -> None:
    async for event in mind.events():
        try:
            on_event(event)
        except Exception as error:  # of the host: its room's other events still come
            log.error("mind_event_not_taken", error=type(error).__name__)
