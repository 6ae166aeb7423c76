"""The HTTP application, as a table of contents. Reads no setting of its own; holds no state."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from protocol.config.settings import Settings
from token_service.auth.authenticator import authenticators
from token_service.errors import answer_problems
from token_service.http import events, guests, personas, sessions, status, token, webhook, workers
from token_service.http.body import BodyLimit
from token_service.http.page import AnswerHeaders, serve_page
from token_service.redis_check import tell_what_redis_forgets
from token_service.server.document import describe
from token_service.server.head import HeadAsGet
from token_service.service import catalogue_of, open_service


def create_app(settings: Settings) -> FastAPI:
    """Put the service together. Raises `InvalidInput` for personas that cannot be used."""
    catalogue, entrances = catalogue_of(settings), authenticators(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_service(settings, catalogue, entrances) as service:
            app.state.service = service
            stopping = asyncio.Event()
            sweeps = asyncio.create_task(service.dispatcher.run(stopping), name="dispatcher")
            check = tell_what_redis_forgets(service.redis, stopping)
            checking = asyncio.create_task(check, name="redis check")
            try:
                yield
            finally:
                stopping.set()
                await asyncio.gather(sweeps, checking)

    app = FastAPIOffline(
        title="moshi-rooms", redoc_url=None, lifespan=lifespan, redirect_slashes=False
    )
    answer_problems(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit)
    app.add_middleware(AnswerHeaders)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    app.include_router(token.router)
    app.include_router(sessions.router)
    app.include_router(personas.router)
    app.include_router(events.router)
    app.include_router(guests.router)
    app.include_router(webhook.router)
    app.include_router(status.router)
    app.include_router(workers.router)
    serve_page(app, settings)
    describe(app, settings.auth_mode)
    return app
