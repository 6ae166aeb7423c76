"""The WebSocket clients that one process of rooms serves, as the main process knows them."""

import threading
from collections.abc import Callable

from worker.room_process.messages import EndClients, ServeClient, ToRooms
from worker.websocket.passed import PassedClient


class PassedClients:
    """Passes clients on. `serve` and `end_all` on the main loop, `left` on the channel's thread."""

    def __init__(self, post: Callable[[ToRooms], None]) -> None:
        self._post = post
        self._clients: dict[int, PassedClient] = {}
        self._lock = threading.Lock()
        self._has_ended = False

    def __len__(self) -> int:
        return len(self._clients)

    def serve(self, client: PassedClient) -> None:
        """Have a client served from now on."""
        with self._lock:
            self._clients[client.number] = client
            has_ended = self._has_ended
        self._post(ServeClient(client.number, client.opens, client.head, client.connection))
        if has_ended:
            self.left(client.number)

    def end_all(self) -> None:
        """Have all clients told that the worker stops, and ended."""
        self._post(EndClients())

    def left(self, number: int) -> None:
        """Take that a client is served no more; one that has left is not known."""
        client = self._clients.pop(number, None)
        if client is not None:
            client.connection.close()  # one that was not sent any more
            client.on_left()

    def close(self) -> None:
        """End every client: the process has ended, and with it their connections."""
        with self._lock:
            self._has_ended = True
        for number in tuple(self._clients):
            self.left(number)
