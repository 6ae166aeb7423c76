"""The connection between two processes: what arrives, when its end is seen, and when a hang."""

import pickle
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from socket import socketpair
from typing import Any

import pytest
import structlog

from harness.servers import wait_until
from protocol.websocket_ticket import RoomTicket
from worker.room_process import channel as channel_module
from worker.room_process.channel import MOST_AT_ONCE, Channel
from worker.room_process.messages import Alive, Leave, ServeClient

LOOK_EVERY_S = 0.05
PATIENCE_S = 2.0  # a busy machine pauses for less
WITHIN_S = 10.0


ENDS: list["End"] = []  # of one test


@dataclass
class End:
    """One end of a connection, with a channel that begins once it is told."""

    connection: "Connection[Any, Any]"
    received: list[list[Any]] = field(default_factory=list[list[Any]])
    ends: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.channel = Channel[Any, Any](self.connection, self.take, self.ends.append, PATIENCE_S)
        ENDS.append(self)

    def take(self, messages: list[Any]) -> None:
        """Keep what came together."""
        self.received.append(messages)

    @property
    def messages(self) -> list[Any]:
        """Return what came but signs of life, in order."""
        return [each for together in self.received for each in together if each != Alive()]


@pytest.fixture
def pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[tuple["Connection[Any, Any]", "Connection[Any, Any]"]]:
    """Yield two connected ends, and let channels look often."""
    monkeypatch.setattr(channel_module, "LOOK_EVERY_S", LOOK_EVERY_S)
    ends = Pipe()
    yield ends
    while ENDS:
        with suppress(RuntimeError):  # it was not started
            ENDS.pop().channel.finish(WITHIN_S)
    for each in ends:
        with suppress(OSError):
            each.close()


def received_at(connection: "Connection[Any, Any]") -> list[Any]:
    """Return the messages that come together next, at an end without a channel."""
    assert connection.poll(WITHIN_S)
    return pickle.loads(connection.recv_bytes())


def test_messages_keep_their_order_in_both_directions(pipe: Any) -> None:
    """All that is posted arrives once, in its order, whether the other end posts or not."""
    first, second = map(End, pipe)
    first.channel.start()
    second.channel.start()
    for number in range(3 * MOST_AT_ONCE):
        first.channel.post(number)
        second.channel.post(-number)
    wait_until(lambda: len(first.messages) == len(second.messages) == 3 * MOST_AT_ONCE, "all")

    assert second.messages == list(range(3 * MOST_AT_ONCE))
    assert first.messages == [-number for number in second.messages]
    assert first.ends == second.ends == []


def test_what_waits_goes_together(pipe: Any) -> None:
    """Messages that wait are sent as one, up to a limit: the other process wakes up once."""
    first = End(pipe[0])
    for number in range(MOST_AT_ONCE + 1):
        first.channel.post(number)
    first.channel.start()

    assert received_at(pipe[1]) == list(range(MOST_AT_ONCE))
    assert received_at(pipe[1]) == [MOST_AT_ONCE]


def test_an_idle_end_gives_signs_of_life(pipe: Any) -> None:
    """An end that has nothing to send says again and again that it lives."""
    End(pipe[0]).channel.start()

    assert [received_at(pipe[1]) for _ in range(3)] == [[Alive()]] * 3


def test_the_end_of_the_other_process_is_seen_at_once(pipe: Any) -> None:
    """Where the other end closes, its end is told once, and a message then costs nothing."""
    first = End(pipe[0])
    first.channel.start()
    pipe[1].close()
    wait_until(lambda: bool(first.ends), "the end", PATIENCE_S)
    first.channel.post("too late")
    first.channel.finish(WITHIN_S)

    assert first.ends == ["it ended"]


def test_a_hang_is_seen_after_the_patience(pipe: Any) -> None:
    """An end that was heard, and then gives no sign of life, has hung."""
    first = End(pipe[0])
    first.channel.start()
    pipe[1].send_bytes(pickle.dumps([Alive()]))
    wait_until(lambda: bool(first.ends), "the hang")

    assert first.ends == [f"it did not answer for {PATIENCE_S:g} s"]


def test_signs_of_life_keep_a_connection(pipe: Any) -> None:
    """Two idle ends stay connected for longer than their patience."""
    first, second = map(End, pipe)
    first.channel.start()
    second.channel.start()
    wait_until(lambda: len(first.received) > 1.5 * PATIENCE_S / LOOK_EVERY_S, "many signs of life")

    assert first.ends == second.ends == []


def test_an_end_that_cannot_take_messages_is_given_up(pipe: Any) -> None:
    """Where messages cannot be taken at all, the other process is told of as ended."""
    first = End(pipe[0])
    first.channel.start()
    pipe[1].send_bytes(b"no pickle")
    wait_until(lambda: bool(first.ends), "the end")

    assert first.ends == ["a message could not be taken"]


def test_a_message_that_cannot_be_sent_costs_no_other(pipe: Any) -> None:
    """What cannot be pickled is left out and logged; the messages around it arrive."""
    first, second = map(End, pipe)
    with structlog.testing.capture_logs() as lines:
        for message in ("before", Leave("AJ_1", lambda: None), "after"):  # type: ignore[arg-type]
            first.channel.post(message)
        first.channel.start()
        second.channel.start()
        wait_until(lambda: len(second.messages) == 2, "the others")

    assert second.messages == ["before", "after"]
    assert [(each["event"], each["message"]) for each in lines] == [("message_not_sent", "Leave")]


def test_a_clients_connection_comes_with_its_message(pipe: Any) -> None:
    """Each client's connection arrives with that client, and belongs to the other end alone."""
    first, second = map(End, pipe)
    second.channel.start()
    ours = []
    for number in range(3):
        theirs, connection = socketpair()
        ours.append(theirs)
        opens = RoomTicket(token="token", format="pcm")
        first.channel.post(ServeClient(number, opens, b"GET", connection))
        first.channel.post("between")
    first.channel.start()
    wait_until(lambda: len(second.messages) == 6, "all")
    for number, message in enumerate(second.messages[::2]):
        message.connection.sendall(bytes([number]))
        message.connection.close()

    assert second.messages[1::2] == ["between"] * 3
    assert [theirs.recv(2) + theirs.recv(2) for theirs in ours] == [b"\0", b"\1", b"\2"]
    for theirs in ours:
        theirs.close()


def test_finish_sends_what_waits_and_nothing_more(pipe: Any) -> None:
    """`finish` returns once all that was posted before is sent; what comes later is not."""
    first = End(pipe[0])
    messages = [Leave(str(number), "drained") for number in range(2 * MOST_AT_ONCE)]
    for each in messages:
        first.channel.post(each)
    first.channel.start()
    second = End(pipe[1])
    second.channel.start()
    first.channel.finish(WITHIN_S)
    first.channel.post("later")
    wait_until(lambda: len(second.messages) >= len(messages), "all")
    wait_until(lambda: bool(second.ends), "no further sign of life")

    assert second.messages == messages


def test_finish_waits_no_longer_than_it_is_told(pipe: Any) -> None:
    """Where the other process takes nothing, `finish` returns all the same."""
    first = End(pipe[0])
    first.channel.post(bytes(10_000_000))  # more than a connection holds
    first.channel.start()
    began_s = time.monotonic()
    first.channel.finish(0.1)
    took_s = time.monotonic() - began_s
    pipe[1].close()

    assert took_s < WITHIN_S
