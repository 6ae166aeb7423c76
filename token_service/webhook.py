"""LiveKit's webhooks: somebody joined. LiveKit drops late ones; the dispatcher's poll heals it."""

from fastapi import APIRouter, Request, Response
from livekit import api

from token_service import metrics
from token_service.dispatcher import JOINED_WAIT_S
from token_service.problems import BadSignature
from token_service.rooms import PEOPLE
from token_service.service import OpenService

router = APIRouter(tags=["livekit"])


@router.post("/webhook", status_code=204)
async def receive_webhook(request: Request, service: OpenService) -> Response:
    """Take a signed event; somebody who joined is a reason to look after the room at once."""
    signature = request.headers.get("Authorization", "")
    event = _verified(await request.body(), signature, service.webhooks)
    metrics.WEBHOOKS.labels(event.event).inc()
    if event.event == "participant_joined" and event.participant.kind in PEOPLE:
        if await service.passes.is_revoked(event.room.name, event.participant):
            await service.passes.remove_revoked(event.room.name)
        await service.dispatcher.see_to(event.room.name, JOINED_WAIT_S)
    return Response(status_code=204)


def _verified(body: bytes, signature: str, receiver: api.WebhookReceiver) -> api.WebhookEvent:
    """Check the signature over the raw body. Raises `BadSignature`."""
    try:
        return receiver.receive(body.decode(), signature)
    except Exception as error:  # the receiver raises bare Exception for a wrong hash
        raise BadSignature("Authorization: expected LiveKit's signature of this body") from error
