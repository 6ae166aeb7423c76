"""LiveKit's webhooks. They only speed things up: the reconciler polls each second as well."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Request, Response, Security
from fastapi.security import APIKeyHeader
from livekit import api

from token_service import metrics
from token_service.auth.authenticator import address_of
from token_service.errors import REFUSALS
from token_service.refusals import Refused, bad_signature
from token_service.rooms.livekit import PEOPLE
from token_service.service import OpenService

router = APIRouter(tags=["livekit"])
SIGNATURE = APIKeyHeader(
    name="Authorization",
    scheme_name="livekit",
    description="LiveKit's signature of the body: a JWT of `LIVEKIT_API_KEY` with its SHA-256.",
    auto_error=False,
)
MEDIA_TYPE = "application/webhook+json"
EVENT = {
    "title": "WebhookEvent",
    "description": "LiveKit's `WebhookEvent` in protobuf's JSON.",
    "type": "object",
    "examples": [{"event": "participant_joined", "room": {"name": "kitchen"}}],
}
Signature = Annotated[str | None, Security(SIGNATURE)]


@router.post(
    "/webhook",
    status_code=204,
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": EVENT}}}},
    responses={status: REFUSALS[status] for status in (401, 408, 413, 429, 500, 503)},
)
async def receive_webhook(request: Request, service: OpenService, signature: Signature) -> Response:
    """Receive an event that LiveKit signed. A room is reconciled as soon as a person joins it.

    A persona of an older host is removed as it joins: its worker stood still and was replaced, and
    LiveKit's client has connected again before the host could read that.
    """
    try:
        event = await _verified(service.verifier, request, signature or "")
    except Refused:
        await service.limiter.failed(address_of(request))
        raise
    metrics.WEBHOOKS.labels(event.event).inc()
    if event.event == "participant_joined":
        room, who = event.room.name, event.participant
        if who.kind in PEOPLE:
            if await service.tokens.is_revoked(room, who):
                await service.tokens.remove_revoked(room)
            await service.reconciler.reconcile(room)
        elif (spec := await service.specs.read(room)) is not None:
            await service.rooms.remove_old(who, spec)
    return Response(status_code=204)


async def _verified(
    verifier: api.TokenVerifier, request: Request, signature: str
) -> api.WebhookEvent:
    """Read an event; read the body only if LiveKit signed the header. Raises `Refused`."""
    with _as_bad_signature():
        if not verifier.verify(signature).sha256:  # a participant's token has no hash
            raise bad_signature()
    body = await request.body()
    with _as_bad_signature():
        return api.WebhookReceiver(verifier).receive(body.decode(), signature)


@contextmanager
def _as_bad_signature() -> Generator[None]:
    try:
        yield
    except Exception as error:  # the receiver raises bare Exception for a wrong hash
        raise bad_signature() from error
