"""The page: static files of the built web folder, which may be built after the service started."""

import json
from html import escape
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Scope

from protocol.config.settings import PAGE_NAME, Settings
from protocol.errors import InvalidInput

NOT_BUILT = "The page is not built yet: `make run` builds it. The HTTP interface is at /docs.\n"
FOREVER = "public, max-age=31536000, immutable"
LOGO, MANIFEST = "logo", "manifest.webmanifest"
SHARED = 'content="./share.png"'  # in index.html; a shared link needs the whole address
NO_SCRIPT = "default-src 'none'; style-src 'unsafe-inline'"  # an SVG file may hold one


class PageFiles(StaticFiles):
    """The page's files. While the folder is missing, no file is found."""

    async def check_config(self) -> None:
        """Check nothing: the folder may be built later."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve a file. Caches may keep built files, whose names contain a hash of the content."""
        response = await super().get_response(path, scope)
        policy = FOREVER if path.startswith("assets/") else "no-cache"
        response.headers.setdefault("Cache-Control", policy)
        return response


def serve_page(app: FastAPI, settings: Settings) -> None:
    """Serve the page at `/`, and its files on every path without a route.

    A mount at `/` would take all paths: it answered `GET /token` with 404 instead of 405.
    Raises `InvalidInput` for a logo that is not there.
    """
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": content_policy(settings.livekit_public_url),
    }

    async def index(request: Request) -> Response:
        page = settings.web_dir / "index.html"
        if not page.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        html = page.read_text(encoding="utf-8").replace(PAGE_NAME, escape(settings.page_name))
        shared = f'content="{escape(str(request.base_url))}share.png"'
        return HTMLResponse(html.replace(SHARED, shared), headers=headers)

    async def manifest() -> Response:
        file = settings.web_dir / MANIFEST
        if not file.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        names = {"name": settings.page_name, "short_name": settings.page_name}
        fields = json.loads(file.read_text(encoding="utf-8")) | names
        return JSONResponse(fields, 200, {"Cache-Control": "no-cache"}, "application/manifest+json")

    app.get("/", include_in_schema=False)(index)
    app.get(f"/{MANIFEST}", include_in_schema=False)(manifest)
    if (logo := settings.page_logo) is not None:
        if not logo.is_file():
            expected = "expected a file that is there; in a container, one in personas/"
            raise InvalidInput(f"PAGE_LOGO={str(logo)!r}: {expected}")
        policy = {"Cache-Control": "no-cache", "Content-Security-Policy": NO_SCRIPT}

        async def own_logo() -> Response:
            return FileResponse(logo, headers=policy)

        app.get(f"/{LOGO}", include_in_schema=False)(own_logo)
    files = PageFiles(directory=settings.web_dir, check_dir=False)
    app.router.default = GZipMiddleware(files, compresslevel=6)


def content_policy(livekit_url: str) -> str:
    """Return the page's policy: its own files, and LiveKit's origin by http and by ws."""
    parts = urlsplit(livekit_url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # a path would exclude others
    livekit = f"{origin} {origin.replace('ws', 'http', 1)}"
    rules = {
        "default-src": "'self'",
        "connect-src": f"'self' {livekit}",
        "style-src": "'self' 'unsafe-inline'",  # style attributes draw the levels of voices
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    return "; ".join(f"{rule} {sources}" for rule, sources in rules.items())
