"""The headers of trusted proxies: the address of the client, and the path of the service."""

import re
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from protocol.config.setting_types import ROOT_PATH, ROOT_PATH_LIMIT
from protocol.config.settings import Settings

PREFIX = "X-Forwarded-Prefix"


class Forwarded:
    """Writes both into the ASGI scope. It wraps the app, which thus sees only real addresses.

    A proxy may remove the path from a request or leave it; both lead to the same route.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        proxied: Any = app  # uvicorn and Starlette type one interface in two ways
        self._app = ProxyHeadersMiddleware(proxied, trusted_hosts=settings.trusted_proxies)
        self._root_path = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; redirect the bare path to the page."""
        if scope["type"] in ("http", "websocket") and (root := self._root(scope)):
            path: str = scope["path"]
            if path == root and scope["type"] == "http":
                query = scope["query_string"].decode("latin-1")
                await RedirectResponse(f"{root}/?{query}".rstrip("?"))(scope, receive, send)
                return
            is_below = path.startswith(f"{root}/")
            scope = {**scope, "root_path": root, "path": path if is_below else root + path}
        proxied: Any = self._app
        await proxied(scope, receive, send)

    def _root(self, scope: Scope) -> str:
        """Return the path that a trusted proxy names, else the setting's."""
        client = scope.get("client")
        named = Headers(scope=scope).get(PREFIX, "").rstrip("/")
        is_trusted = client is not None and client[0] in self._app.trusted_hosts
        is_path = len(named) <= ROOT_PATH_LIMIT and re.fullmatch(ROOT_PATH, named)
        return named if is_trusted and is_path else self._root_path
