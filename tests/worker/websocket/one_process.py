"""Both ends of the way of a WebSocket client to a process of rooms, in one process."""

from multiprocessing.connection import Pipe
from typing import Any

from protocol.config.settings import Settings
from worker.engine.door import EngineDoor
from worker.loops import call_on_loop
from worker.room_process.channel import Channel
from worker.room_process.messages import (
    ClientLeft,
    ClientTookSlot,
    EndClients,
    FromRooms,
    ServeClient,
    ToRooms,
)
from worker.room_process.passed_clients import PassedClients
from worker.websocket.clients import Clients
from worker.websocket.passed import PassedClient


class OneProcess:
    """Serves clients as processes of rooms do, beside an engine of its own process."""

    serve_now = True

    def __init__(self, settings: Settings, engine: EngineDoor, loop: Any) -> None:
        ends: list[str] = []
        main, rooms = self._connections = Pipe()
        self._loop = loop
        self._main = Channel[ToRooms, FromRooms](main, self._take_in_main, ends.append)
        self._rooms = Channel[FromRooms, ToRooms](rooms, self._take_in_rooms, ends.append)
        self.passed = PassedClients(self._main.post)
        self._clients = Clients(
            settings,
            engine,
            lambda client: self._rooms.post(ClientTookSlot(client)),
            lambda client: self._rooms.post(ClientLeft(client)),
        )
        self._main.start()
        self._rooms.start()

    def serve_client(self, client: PassedClient) -> None:
        """Have a client served."""
        self.passed.serve(client)

    def end_clients(self) -> None:
        """Have all clients ended."""
        self.passed.end_all()

    def close(self) -> None:
        """End both."""
        for channel, connection in zip((self._main, self._rooms), self._connections, strict=True):
            channel.finish(1.0)
            connection.close()

    def _take_in_main(self, messages: list[Any]) -> None:
        for each in messages:
            if isinstance(each, ClientTookSlot | ClientLeft):
                self.passed.take(each)

    def _take_in_rooms(self, messages: list[Any]) -> None:
        for each in messages:
            if isinstance(each, ServeClient):
                call_on_loop(self._loop, self._clients.serve, *each)
            elif isinstance(each, EndClients):
                call_on_loop(self._loop, self._clients.end_all)
