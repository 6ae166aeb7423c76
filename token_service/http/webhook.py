"""LiveKit's webhooks: somebody joined. LiveKit drops late ones; the dispatcher's poll heals it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Request, Response, Security
from fastapi.security import APIKeyHeader
from livekit import api

from token_service import metrics
from token_service.errors import BadSignature
from token_service.rooms.livekit import PEOPLE
from token_service.rooms.reconciler import JOINED_WAIT_S
from token_service.service import OpenService, Service

router = APIRouter(tags=["livekit"])
SIGNATURE = APIKeyHeader(
    name="Authorization",
    scheme_name="livekit",
    description="LiveKit's signature of the body: a JWT of `LIVEKIT_API_KEY` with its SHA-256.",
    auto_error=False,
)
Signature = Annotated[str | None, Security(SIGNATURE)]


@router.post("/webhook", status_code=204)
async def receive_webhook(request: Request, service: OpenService, signature: Signature) -> Response:
    """Take a signed event; somebody who joined is a reason to look after the room at once."""
    event = await _signed(request, service, signature or "")
    metrics.WEBHOOKS.labels(event.event).inc()
    if event.event == "participant_joined" and event.participant.kind in PEOPLE:
        if await service.passes.is_revoked(event.room.name, event.participant):
            await service.passes.remove_revoked(event.room.name)
        await service.dispatcher.see_to(event.room.name, JOINED_WAIT_S)
    return Response(status_code=204)


async def _signed(request: Request, service: Service, signature: str) -> api.WebhookEvent:
    """Read an event that LiveKit signed. Its body is read only where the signature is LiveKit's.

    All others are counted. Raises `BadSignature`, and `Refused` where there were too many.
    """
    try:
        _check_signature(service.verifier, signature)
        return _event(service.verifier, await request.body(), signature)
    except BadSignature:
        await service.limiter.failed(request.client.host if request.client else "")
        raise


def _check_signature(verifier: api.TokenVerifier, signature: str) -> None:
    """Raise `BadSignature` for what our key did not sign, and for a person's token."""
    with _translated():
        if not verifier.verify(signature).sha256:
            raise BadSignature


def _event(verifier: api.TokenVerifier, body: bytes, signature: str) -> api.WebhookEvent:
    with _translated():
        return api.WebhookReceiver(verifier).receive(body.decode(), signature)


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except Exception as error:  # the receiver raises bare Exception for a wrong hash
        raise BadSignature from error
