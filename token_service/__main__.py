"""`python -m token_service`: settings → logging → HTTP."""

import sys
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from protocol.errors import InvalidInput
from protocol.log import configure_logging
from protocol.production import refuse_unsafe
from protocol.proxies import keep_loopback_direct
from protocol.settings import load_settings
from token_service.app import create_app

SHUTDOWN_S = 5
STARTUP_FAILED = 3  # uvicorn's own


class Server(uvicorn.Server):
    """Uvicorn, which waits for every answer to end, so endless ones must learn of a signal."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

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
        refuse_unsafe(settings, serves_people=True)
        app = create_app(settings)
    except InvalidInput as error:
        sys.exit(f"token_service: {error}")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = Server(config, app)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
