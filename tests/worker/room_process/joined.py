"""An engine in one process and its rooms in another, as far as both are in one: a real channel."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Pipe
from typing import Any

from worker.engine.engine import Engine
from worker.engine.model import Model
from worker.fleet.admission import JobAdmission
from worker.hearing.recogniser import Recogniser
from worker.room_process.asking import Asking
from worker.room_process.channel import Channel
from worker.room_process.messages import (
    Alive,
    Answered,
    CallEnded,
    FrameOut,
    FromRooms,
    Listen,
    ListeningEnded,
    SlotLost,
    Sound,
    StopListening,
    ToRooms,
    Words,
)
from worker.room_process.remote_engine import RemoteEngine
from worker.room_process.remote_recogniser import RemoteRecogniser
from worker.room_process.served_listenings import ServedListenings
from worker.room_process.served_slots import ServedSlots


class Joined:
    """Both ends: what rooms use is `remote` and `recogniser`."""

    def __init__(
        self,
        engine: Engine,
        recogniser: Recogniser | None = None,
        clock: Callable[[], float] | None = None,
        admission: JobAdmission | None = None,
    ) -> None:
        main, rooms = Pipe()
        self.engine = engine
        self.admission = admission or JobAdmission(lambda: engine.free)
        self.changes = 0
        self.ends: list[str] = []
        self.asked: list[FromRooms] = []  # that the main process got
        self.main = Channel[ToRooms, FromRooms](main, self._take_in_main, self.ends.append)
        self.rooms = Channel[FromRooms, ToRooms](rooms, self._take_in_rooms, self.ends.append)
        self._connections = main, rooms
        asking = Asking(self.rooms.post)
        clocks = () if clock is None else (clock,)
        self.remote = RemoteEngine(engine.facts, self.rooms.post, asking)
        self.recogniser = RemoteRecogniser(self.rooms.post, asking, *clocks)
        self.slots = ServedSlots(engine, self.admission, self._changed, self.main.post)
        self.listenings = ServedListenings(recogniser or NoRecogniser(), self.main.post)
        self._asking = asking
        self.main.start()
        self.rooms.start()

    def close(self) -> None:
        """End both."""
        for channel, connection in zip((self.main, self.rooms), self._connections, strict=True):
            channel.finish(1.0)
            connection.close()

    def _changed(self) -> None:
        self.changes += 1

    def _take_in_main(self, messages: list[Any]) -> None:
        for each in messages:
            if isinstance(each, Alive):
                continue
            self.asked.append(each)
            is_sound = isinstance(each, Listen | Sound | StopListening)
            (self.listenings if is_sound else self.slots).take(each)

    def _take_in_rooms(self, messages: list[Any]) -> None:
        for each in messages:
            match each:
                case Answered():
                    self._asking.take(each)
                case FrameOut():
                    self.remote.take(each)
                case SlotLost():
                    self.remote.take_lost(each)
                case CallEnded():
                    self.remote.take_end(each)
                case Words():
                    self.recogniser.take(each)
                case ListeningEnded():
                    self.recogniser.take_end(each)
                case _:
                    pass
        self.remote.send()


class NoRecogniser:
    """Listens to nobody."""

    def open(self, *_: Any) -> None:
        """Refuse."""


@contextmanager
def joined(
    model: Model,
    recogniser: Recogniser | None = None,
    clock: Callable[[], float] | None = None,
) -> Generator[Joined]:
    """Run an engine, and rooms that reach it through a connection."""
    failures: list[BaseException] = []
    engine = Engine(model, failures.append)
    engine.start()
    both = Joined(engine, recogniser, clock)
    try:
        yield both
    finally:
        both.close()
        engine.stop()
    assert failures == []
