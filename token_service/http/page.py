"""The page: static files of the built web folder, which may be built after the service has started.

Also the headers that every answer carries.
"""

from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.config.settings import Settings

NOT_BUILT = "The page is not built yet: `make run` builds it. The HTTP interface is at /docs.\n"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


FOREVER = "public, max-age=31536000, immutable"


class PageFiles(StaticFiles):
    """The page's files; a folder that is not there yet is no error, its files are not found."""

    async def check_config(self) -> None:
        """Check nothing: the folder may come later."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Have built files kept: their names carry a hash of what is in them."""
        response = await super().get_response(path, scope)
        if path.startswith("assets/"):
            response.headers.setdefault("Cache-Control", FOREVER)
        return response


def serve_page(app: FastAPI, settings: Settings) -> None:
    """Serve the page at `/`, and its files on every path that no route has.

    A mount at `/` would have them all: it answered `GET /token` with 404 in place of 405.
    """

    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": content_policy(settings.livekit_public_url),
    }

    async def index() -> Response:
        page = settings.web_dir / "index.html"
        if not page.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(page, headers=headers)

    app.get("/", include_in_schema=False)(index)
    files = PageFiles(directory=settings.web_dir, check_dir=False)
    app.router.default = GZipMiddleware(files, compresslevel=6)


def content_policy(livekit_url: str) -> str:
    """What the page may load: its own files, and LiveKit, which it asks over http and ws alike."""
    parts = urlsplit(livekit_url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # a path would be that alone
    livekit = f"{origin} {origin.replace('ws', 'http', 1)}"
    rules = {
        "default-src": "'self'",
        "connect-src": f"'self' {livekit}",
        "style-src": "'self' 'unsafe-inline'",  # levels of voices are drawn by style attributes
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    return "; ".join(f"{rule} {sources}" for rule, sources in rules.items())


class AnswerHeaders:
    """Adds the headers that cost nothing and close a door each."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an answer's own headers stand."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
