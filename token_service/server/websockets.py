"""A WebSocket connection of ours: nothing of its address is logged, since it may hold a bearer.

uvicorn 0.54.0 logs the whole address of each WebSocket, with its query, and closes one whose client
broke the protocol without a code.
"""

import logging
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

from protocol.websocket_ticket import LARGEST_BYTES

# Of a message that is read: one that is too large is refused in the protocol of its route.
READ_BYTES = 4 * LARGEST_BYTES
PING_S = 20.0  # between two pings, and for each answer: a half-open connection ends by itself

# As uvicorn's options.
OPTIONS: dict[str, Any] = {
    "ws_max_size": READ_BYTES,
    "ws_ping_interval": PING_S,
    "ws_ping_timeout": PING_S,
    "ws_per_message_deflate": False,  # sound is compressed already
}

_logger = logging.getLogger("uvicorn.error.websockets")
_logger.setLevel(logging.WARNING)


class WebSocketConnection(WSProtocol):
    """uvicorn's connection with a logger of warnings alone, and a code for malformed frames."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _logger

    def handle_close(self, event: CloseConnection) -> None:
        """Close the connection; tell a client why that has sent no close frame but a broken one."""
        if self.conn.state is ConnectionState.OPEN and not self.close_sent:
            self.transport.write(self.conn.send(event))
        super().handle_close(event)
