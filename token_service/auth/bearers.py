"""Where a request carries its bearer, and which pages may open WebSockets. Pure.

Browsers let a page of any origin open a WebSocket and ask no server whether it may, so the origin
of a handshake is checked here as CORS checks that of a request.
"""

import base64
from collections.abc import Container
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi.requests import HTTPConnection

from protocol.config.addresses import is_loopback

# In the query of a WebSocket: ours, and that of Moshi's and PersonaPlex's web client.
QUERY_NAMES = ("token", "worker_auth_id")


def is_websocket(request: HTTPConnection) -> bool:
    return request.scope["type"] == "websocket"


def bearer_of(request: HTTPConnection) -> str:
    """Return a request's bearer; empty where it has none.

    Clients of WebSockets that set no header have it as the password in the URL's `user:password@`,
    or in the query.
    """
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if not is_websocket(request):
        return ""
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(credentials).decode().partition(":")[2]
    query = request.query_params
    return next((query[name] for name in QUERY_NAMES if query.get(name)), "")


def is_here(url: str) -> bool:
    """Tell whether a URL's host is this machine by its name."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def is_origin_allowed(request: HTTPConnection, others: Container[str]) -> bool:
    """Tell whether the page that sent a request is of this service, of this machine or of `others`.

    Programs name no origin.
    """
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if origin is None or origin in others or origin.partition("://")[2] == host:
        return True
    return is_here(origin) and is_here(f"//{host}")
