"""`python -m token_service`: settings → logging → HTTP."""

import logging
import os
import resource
import socket
import sys
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from protocol.config import tracing
from protocol.config.command_line import refuse_arguments
from protocol.config.log import configure_logging
from protocol.config.production import refuse_unsafe
from protocol.config.proxies import keep_loopback_direct
from protocol.config.settings import load_settings, log_misspelt
from protocol.errors import InvalidInput
from token_service.app import create_app
from token_service.server.connection import Connection
from token_service.server.forwarded import Forwarded
from token_service.server.sparse_log import OnePerSecond
from token_service.server.websockets import OPTIONS, WebSocketConnection
from token_service.service import OTHER_CONNECTIONS, STREAMS
from token_service.sessions.worker_sockets import SOCKETS

SHUTDOWN_S = 5
BACKLOG = 2048  # uvicorn's own
STARTUP_FAILED = 3  # uvicorn's own
CONNECTIONS = 1000
ACCEPTED = 32  # at a time: asyncio accepts so many before it reads from any of them
# Redis, workers, accepted connections, files.
OTHERS = STREAMS + OTHER_CONNECTIONS + SOCKETS + 8 * ACCEPTED + 50
LEAST = 50  # connections
# Loggers whose records requests can cause at any rate.
CAUSED_BY_REQUESTS = (
    "asyncio",
    "uvicorn.error",
    "uvicorn.error.websockets",
    "token_service.sessions.worker_sockets",
    "token_service.auth.audit",
    "token_service.auth.issuer_keys",
    "token_service.errors",
    "token_service.auth.jwt_users",
)


class Server(uvicorn.Server):
    """Uvicorn with a long kernel backlog, that tells endless answers about a signal.

    asyncio also takes the backlog for the number of connections that it accepts at a time. That is
    low here: a burst would use all descriptors before any connection was read.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen with the long backlog."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                with listening.dup() as same:
                    same.listen(BACKLOG)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Tell the event streams, then exit as uvicorn does. Runs as a signal handler."""
        if (service := getattr(self._app.state, "service", None)) is not None:
            service.leaving = True
        super().handle_exit(sig, frame)


def connections() -> int:
    """Raise the limit of descriptors if needed; return the number of connections that fit.

    Raises `InvalidInput` for too few descriptors.
    """
    wanted = CONNECTIONS + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fit = CONNECTIONS if soft == resource.RLIM_INFINITY else min(CONNECTIONS, soft - OTHERS)
    if fit < LEAST:
        raise InvalidInput(f"ulimit -n is {soft}: expected at least {OTHERS + LEAST}")
    return fit


def main() -> None:
    refuse_arguments("python -m token_service", "Serve the page, tokens and sessions.")
    try:
        keep_loopback_direct()
        settings = load_settings()
        configure_logging(settings)
        log_misspelt()
        for name in CAUSED_BY_REQUESTS:
            logging.getLogger(name).addFilter(OnePerSecond())
        refuse_unsafe(settings, serves_people=True)
        tracing.start(settings.otel_exporter_otlp_endpoint, "token_service", with_redis=True)
        app = create_app(settings)
        limit = connections()
    except InvalidInput as error:
        sys.stderr.write(f"token_service: {error}\n")
        sys.exit(os.EX_CONFIG)
    config = uvicorn.Config(
        Forwarded(app, settings),
        http=Connection,
        ws=WebSocketConnection,
        **OPTIONS,
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
    tracing.stop()
    if not server.started:
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
