"""A WebSocket connection of ours: nothing of its address is logged, since it may hold a bearer.

uvicorn 0.54.0 logs the whole address of each WebSocket, with its query.
"""

import logging
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

LARGEST_BYTES = 70_000  # of a message: the largest Ogg page has 65,307
READ_BYTES = 4 * LARGEST_BYTES  # of one that is read, to refuse it in the protocol of its route
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
    """uvicorn's connection with a logger of warnings alone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _logger
