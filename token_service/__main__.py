"""`python -m token_service`: settings → logging → HTTP."""

import socket
import sys
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from protocol.config.log import configure_logging
from protocol.config.production import refuse_unsafe
from protocol.config.proxies import keep_loopback_direct
from protocol.config.settings import load_settings
from protocol.errors import InvalidInput
from token_service.app import create_app
from token_service.server.connection import Connection
from token_service.server.descriptors import ACCEPTED, connections
from token_service.server.forwarded import Forwarded
from token_service.server.sparse_log import thin_out

SHUTDOWN_S = 5
BACKLOG = 2048  # uvicorn's own
STARTUP_FAILED = 3  # uvicorn's own
# What strangers can have logged as often as they like.
CAUSED_BY_REQUESTS = (
    "asyncio",
    "uvicorn.error",
    "token_service.auth.audit",
    "token_service.auth.issuer_keys",
    "token_service.errors",
    "token_service.auth.jwt_users",
)


class Server(uvicorn.Server):
    """Uvicorn, which waits for every answer to end, so endless ones must learn of a signal.

    For asyncio the backlog is also how many connections it accepts at a time, which is few here:
    a burst would take all descriptors before a connection was looked at. The kernel's is longer.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and have the kernel keep those who wait to be accepted."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                with listening.dup() as same:
                    same.listen(BACKLOG)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Tell the streams, then do as uvicorn does. Runs as a signal handler."""
        if (service := getattr(self._app.state, "service", None)) is not None:
            service.leaving = True
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until a signal comes."""
    try:
        keep_loopback_direct()
        settings = load_settings()
        configure_logging(settings)
        thin_out(*CAUSED_BY_REQUESTS)
        refuse_unsafe(settings, serves_people=True)
        app = create_app(settings)
        limit = connections()
    except InvalidInput as error:
        sys.exit(f"token_service: {error}")
    config = uvicorn.Config(
        Forwarded(app, settings),
        http=Connection,
        ws="none",
        limit_concurrency=limit,
        backlog=ACCEPTED,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `Forwarded` reads them
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = Server(config, app)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
