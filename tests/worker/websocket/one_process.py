"""Both ends of the way of a WebSocket client to a process of rooms, in one process."""

from typing import Any

from protocol.config.settings import Settings
from tests.worker.room_process.joined import Joined
from worker.engine.engine import Engine
from worker.fleet.admission import JobAdmission
from worker.loops import call_on_loop
from worker.room_process.messages import ClientLeft, EndClients, ServeClient
from worker.room_process.passed_clients import PassedClients
from worker.websocket.clients import Clients
from worker.websocket.passed import PassedClient


class OneProcess(Joined):
    """Serves clients as a process of rooms does, with its way to the engine."""

    serve_now = True

    def __init__(
        self, settings: Settings, engine: Engine, admission: JobAdmission, loop: Any
    ) -> None:
        super().__init__(engine, admission=admission)
        self._loop = loop
        self.passed = PassedClients(self.main.post)
        self._clients = Clients(
            settings, self.remote, lambda client: self.rooms.post(ClientLeft(client))
        )

    def serve_client(self, client: PassedClient) -> None:
        """Have a client served."""
        self.passed.serve(client)

    def end_clients(self) -> None:
        """Have all clients ended."""
        self.passed.end_all()

    def _take_in_main(self, messages: list[Any]) -> None:
        for each in messages:
            if isinstance(each, ClientLeft):
                self.passed.left(each.client)
            else:
                super()._take_in_main([each])

    def _take_in_rooms(self, messages: list[Any]) -> None:
        for each in messages:
            if isinstance(each, ServeClient):
                call_on_loop(self._loop, self._clients.serve, *each)
            elif isinstance(each, EndClients):
                call_on_loop(self._loop, self._clients.end_all)
        super()._take_in_rooms(messages)
