"""Messages between two processes of a worker: posted from any thread, taken on a thread.

A thread sends all that waits at once, so that a process wakes once for the frames of many rooms.
"""

import pickle
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from socket import socket
from typing import Any, Generic, TypeVar

import structlog

from worker.life_signs import LOOK_EVERY_S, LifeSigns
from worker.room_process.messages import Alive, ServeClient

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 500  # messages; a frame has 8 kB
PATIENCE_S = 10.0  # without a sign of the other process
ENDED = "it ended"

In = TypeVar("In")
Out = TypeVar("Out")


class Channel(Generic[Out, In]):
    """One end of a connection. `post` from any thread; the callbacks come on one of its own."""

    def __init__(
        self,
        connection: "Connection[Any, Any]",
        on_messages: Callable[[list[In]], None],
        on_end: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`on_end(why)` is called once, where the other process ended or has hung."""
        self._connection = connection
        self._on_messages, self._on_end = on_messages, on_end
        self._patience_s = patience_s
        self._queue: queue.SimpleQueue[Out | Alive | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="rooms send", daemon=True)
        self._reader = threading.Thread(target=self._read, name="rooms read", daemon=True)

    def start(self) -> None:
        """Begin to send and to receive."""
        self._sender.start()
        self._reader.start()

    def post(self, message: Out) -> None:
        """Send a message after those before it. Returns at once. Any thread."""
        self._queue.put(message)

    def finish(self, within_s: float) -> None:
        """Send what waits, and nothing more; then the connection may be closed. Any thread."""
        self._queue.put(None)
        self._sender.join(within_s)

    def _send(self) -> None:
        """Send what waits, or a sign of life where nothing does, until `finish`."""
        while True:
            messages: list[Out | Alive | None] = []
            try:
                messages.append(self._queue.get(timeout=LOOK_EVERY_S))
            except queue.Empty:
                messages.append(Alive())
            while len(messages) < MOST_AT_ONCE and not self._queue.empty():
                messages.append(self._queue.get())
            is_last = None in messages
            try:
                self._send_together([each for each in messages if each is not None])
            except OSError:  # the other process has ended, as the reader tells
                return
            if is_last:
                return

    def _send_together(self, messages: list[Any]) -> None:
        """Send messages as one, without those that cannot be; then the clients' connections."""
        try:
            packed = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
        except Exception:  # of one message: it costs the others nothing
            messages = list(filter(_can_be_sent, messages))
            packed = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
        self._connection.send_bytes(packed)
        for each in messages:
            if isinstance(each, ServeClient) and each.connection is not None:
                send_handle(self._connection, each.connection.fileno(), None)
                each.connection.close()  # the other process has it now, and may end it

    def _received(self, message: Any) -> Any:
        """Return a message as it was posted: with its connection, which follows the messages."""
        if not isinstance(message, ServeClient):
            return message
        connection = socket(fileno=recv_handle(self._connection))
        connection.set_inheritable(False)  # else tool servers would hold it
        return message._replace(connection=connection)

    def _read(self) -> None:
        signs = LifeSigns(self._patience_s)
        try:
            while not signs.is_hung():
                if self._connection.poll(LOOK_EVERY_S):
                    messages = pickle.loads(self._connection.recv_bytes())
                    messages = [self._received(each) for each in messages]
                    signs.take(0.0)
                    self._on_messages(messages)
        except (EOFError, OSError):
            return self._on_end(ENDED)
        except Exception:  # a fault of ours: without its reader the other end is of no use
            log.exception("channel_failed")
            return self._on_end("a message could not be taken")
        self._on_end(f"it did not answer for {self._patience_s:g} s")


def take_each(take: Callable[[In], None], messages: list[In]) -> None:
    """Take messages one by one: one that cannot be taken costs the others nothing."""
    for message in messages:
        try:
            take(message)
        except Exception:
            log.exception("message_failed", message=type(message).__name__)


def _can_be_sent(message: Any) -> bool:
    try:
        pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    except Exception:
        log.exception("message_not_sent", message=type(message).__name__)
        return False
    return True
