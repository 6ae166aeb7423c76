"""A connection with deadlines for the request's head and for the reading of the answer.

uvicorn 0.54.0 has neither: it waits without limit for a head and for a client that reads nothing.
"""

import asyncio
import math

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for a request's first line and headers
READ_S = 30.0  # for a client that has stopped reading
SPARE = 0.1  # of uvicorn's `limit_concurrency`, kept free for requests that are complete


class Connection(H11Protocol):
    """Closes a connection at its deadline, and the longest-waiting ones if there are too many."""

    _waits_since_s = math.inf  # for a request, or for its end
    _head_deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_waiting()
        self._close_longest_waiting()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_deadline = self.loop.call_later(READ_S, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None

    def abort(self) -> None:
        self._stop_waiting()
        self.connections.discard(self)  # the loop closes it later, but it counts no longer
        self.transport.abort()

    def _update_waiting(self) -> None:
        """Set or cancel the head's deadline by what the client still has to send."""
        state = self.conn.their_state
        if state is not h11.IDLE:
            self._cancel_head_deadline()
        elif self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_S, self.abort)
        if state not in (h11.IDLE, h11.SEND_BODY):
            self._waits_since_s = math.inf
        elif self._waits_since_s == math.inf:
            self._waits_since_s = self.loop.time()

    def _close_longest_waiting(self) -> None:
        limit = self.limit_concurrency
        while limit is not None and len(self.connections) > limit * (1 - SPARE):
            others = [each for each in self.connections if isinstance(each, Connection)]
            oldest = min(others, key=lambda each: each._waits_since_s)
            if oldest._waits_since_s == math.inf:
                return
            oldest.abort()

    def _stop_waiting(self) -> None:
        self._waits_since_s = math.inf
        self._cancel_head_deadline()

    def _cancel_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
