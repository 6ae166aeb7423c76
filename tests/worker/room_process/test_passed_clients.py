"""WebSocket clients on their way to a process of rooms, and what its end does to them."""

from collections.abc import Generator
from contextlib import suppress
from socket import socket, socketpair
from typing import Any

import pytest

from protocol.websocket_ticket import RoomTicket
from worker.room_process.messages import ServeClient
from worker.room_process.passed_clients import PassedClients
from worker.websocket.passed import PassedClient

OPENS = RoomTicket(token="token", format="pcm")


@pytest.fixture
def pair() -> Generator[tuple[socket, socket]]:
    """Yield both ends of a client's connection."""
    ends = socketpair()
    yield ends
    for each in ends:
        each.close()


def passed(connection: socket, told: list[str], number: int = 1) -> PassedClient:
    """Return a client that notes what it is told."""
    return PassedClient(number, OPENS, b"GET", connection, lambda: told.append("left"))


def test_a_client_is_told_once_of_its_end(pair: Any) -> None:
    """What a process tells of a client that has left is ignored."""
    posted: list[Any] = []
    told: list[str] = []
    clients = PassedClients(posted.append)
    clients.serve(passed(pair[0], told))
    assert (len(clients), posted) == (1, [ServeClient(1, OPENS, b"GET", pair[0])])
    clients.left(1)
    clients.left(1)

    assert (len(clients), told) == (0, ["left"])


@pytest.mark.parametrize("passes_on", ["before", "after"])
def test_the_end_of_a_process_ends_its_clients(pair: Any, passes_on: str) -> None:
    """A client that was not passed on yet, or is given to a process that has ended, is closed."""
    told: list[str] = []
    clients = PassedClients(lambda _: None)
    if passes_on == "before":
        clients.serve(passed(pair[0], told))
    clients.close()
    if passes_on == "after":
        clients.serve(passed(pair[0], told))
    pair[1].setblocking(False)

    assert (len(clients), told) == (0, ["left"])
    with suppress(ConnectionResetError):
        assert pair[1].recv(1) == b""
