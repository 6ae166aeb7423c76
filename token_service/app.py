"""The HTTP application: lifespan, middleware and routers. Holds no state."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from protocol.config.settings import Settings
from token_service.auth.audit import Audit
from token_service.auth.authenticator import credentials_of
from token_service.errors import answer_problems
from token_service.http import (
    events,
    guests,
    operators,
    public,
    recordings,
    session_personas,
    sessions,
    token,
    webhook,
)
from token_service.http.page import serve_page
from token_service.http.websockets import chat, session_audio
from token_service.mcp.endpoint import McpEndpoint
from token_service.server.document import DESCRIPTION, TAGS, describe
from token_service.server.middleware import AnswerHeaders, BodyLimit, HeadAsGet, StreamsLeft
from token_service.server.traced import Traced
from token_service.service import catalogue_of, open_service

ROUTES = (
    token,
    sessions,
    session_personas,
    events,
    guests,
    recordings,
    webhook,
    chat,
    session_audio,
    public,
    operators,
)


def create_app(settings: Settings) -> FastAPI:
    """Build the application. Raises `InvalidInput` for invalid personas or settings."""
    Audit(settings.audit_log)  # else it is refused with a traceback, in the lifespan
    catalogue, credentials = catalogue_of(settings), credentials_of(settings)
    mcp = McpEndpoint()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_service(settings, catalogue, credentials) as service:
            app.state.service = service
            stopping = asyncio.Event()
            sweeps = asyncio.create_task(service.reconciler.run(stopping), name="reconciler")
            check = service.space.log_eviction(stopping)
            checking = asyncio.create_task(check, name="redis check")
            pulsing = asyncio.create_task(service.pulse.run(stopping), name="redis pulse")
            try:
                yield
            finally:
                stopping.set()
                await mcp.aclose()
                await asyncio.gather(sweeps, checking, pulsing)

    app = FastAPIOffline(
        title="moshi-rooms",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        generate_unique_id_function=lambda route: route.name,
        redoc_url=None,
        swagger_ui_parameters={"displayOperationId": True},
        lifespan=lifespan,
        redirect_slashes=False,
    )
    answer_problems(app)
    app.add_middleware(StreamsLeft)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit)
    app.add_middleware(AnswerHeaders)
    if settings.otel_exporter_otlp_endpoint is not None:
        app.add_middleware(Traced)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "ETag", "Content-Range"],
        )
    for routes in ROUTES:
        app.include_router(routes.router)
    app.router.routes.append(mcp.route)
    serve_page(app, settings)
    describe(app, settings.auth_mode)
    return app
