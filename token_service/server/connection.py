"""A connection, which has to send its request and to read its answer: none is kept for nothing.

uvicorn 0.54.0 waits for ever for the rest of a request's head, and for a client that reads nothing.
"""

import asyncio
import math

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for a request's first line and headers
READ_S = 30.0  # for a client that has stopped reading
SPARE = 0.1  # of uvicorn's `limit_concurrency`: for those whose requests are being answered


class Connection(H11Protocol):
    """Closes what does not go on and, where there are too many, what has waited longest."""

    _waits_since_s = math.inf  # for a request, or for its end
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._look()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take what was sent, and look whether there is still something to wait for."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client a while to read on."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_S, self.end)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def end(self) -> None:
        """Close the connection, whatever is under way."""
        self._stop_waiting()
        self.connections.discard(self)  # it counts no more, though the loop closes it later
        self.transport.abort()

    def _look(self) -> None:
        """See what the client still has to send: a head, a body, or nothing."""
        if self.conn.their_state is h11.IDLE:
            self._late = self._late or self.loop.call_later(HEAD_S, self.end)
        else:
            self._stop_watch()
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._waits_since_s = math.inf
        elif self._waits_since_s == math.inf:
            self._waits_since_s = self.loop.time()

    def _make_room(self) -> None:
        limit = self.limit_concurrency
        while limit is not None and len(self.connections) > limit * (1 - SPARE):
            others = [each for each in self.connections if isinstance(each, Connection)]
            oldest = min(others, key=lambda each: each._waits_since_s)
            if oldest._waits_since_s == math.inf:
                return
            oldest.end()

    def _stop_waiting(self) -> None:
        self._waits_since_s = math.inf
        self._stop_watch()

    def _stop_watch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
