"""LiveKit's standard token endpoint, at its own path and at the sandbox's."""

from dataclasses import replace
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from protocol.errors import InvalidInput
from protocol.wire import Consent
from token_service import metrics
from token_service.auth.callers import Caller, GuestPass
from token_service.auth.grants import Participant
from token_service.errors import REFUSALS
from token_service.http.access import CountedRoute, Talker
from token_service.http.token_request import RECORDING, TokenRequest, fresh_name
from token_service.refusals import Refused, bad_bearer
from token_service.rooms.admission import AdmissionRequest
from token_service.service import OpenService, Service

log = structlog.stdlib.get_logger(__name__)
router = APIRouter(
    tags=["token"],
    route_class=CountedRoute,
    responses={status: REFUSALS[status] for status in (400, 401, 403, 408, 413, 429, 500, 503)},
)

# The route reads the body itself: a client may send none, and with any content type.
BODY = {"$ref": f"#/components/schemas/{TokenRequest.__name__}"}
OPTIONAL_BODY = {"requestBody": {"content": {"application/json": {"schema": BODY}}}}


class TokenAnswer(BaseModel):
    """LiveKit's address, and the JWT to connect with."""

    server_url: str
    participant_token: str
    room_name: str
    participant_name: str
    recording: Consent | None = Field(default=None, description=RECORDING)
    session_id: str | None = Field(
        default=None, description="The session of a guest link, which its guest may rate."
    )
    unknown_fields: list[str] | None = Field(
        default=None, description="Fields of the request that changed nothing, if there are any."
    )


@router.post(
    "/api/v2/sandbox/connection-details",
    name="mint_sandbox_token",
    status_code=201,
    response_model_exclude_none=True,
    openapi_extra=OPTIONAL_BODY,
)
@router.post(
    "/token", status_code=201, response_model_exclude_none=True, openapi_extra=OPTIONAL_BODY
)
async def mint_token(request: Request, service: OpenService, caller: Talker) -> TokenAnswer:
    """Mint a participant's token for a room with the requested personas, or the default one.

    The personas join once the participant has joined.
    """
    try:
        answer = await _admit(service, caller, TokenRequest.from_body(await request.body()))
    except (Refused, InvalidInput) as error:
        outcome = error.code if isinstance(error, Refused) else "invalid_input"
        metrics.TOKENS.labels(outcome).inc()
        raise
    metrics.TOKENS.labels("minted").inc()
    return answer


async def _admit(service: Service, caller: Caller, asked: TokenRequest) -> TokenAnswer:
    personas = asked.personas(service.catalogue, service.settings.default_persona)
    person = asked.person()
    if caller.guest is not None:
        if await service.tokens.is_link_revoked(caller.guest):
            raise bad_bearer()
        person = _guest(caller.guest, asked)
    request = AdmissionRequest(
        person.room, personas, caller, transcribe=asked.transcribe, record=asked.record
    )
    spec = await service.admission.admit(request)
    await service.admission.check_people(spec, person.identity)
    token, token_id = await service.tokens.mint(person, spec, caller.guest)
    log.info("token_minted", room=spec.room, personas=len(spec.personas))
    service.audit.write(
        "token_minted",
        caller,
        session=spec.session,
        room=person.room,
        identity=person.identity,
        token_id=token_id,
    )
    if asked.record and spec.record:
        service.audit.write("recording_asked", caller, session=spec.session, room=spec.room)
    return TokenAnswer(
        server_url=service.settings.livekit_public_url,
        participant_token=token,
        room_name=person.room,
        participant_name=person.name,
        recording=service.consent_of(spec),
        session_id=spec.session if caller.guest is not None else None,
        unknown_fields=asked.unknown_fields or None,
    )


def _guest(guest: GuestPass, asked: TokenRequest) -> Participant:
    """Return a guest as a participant of the link's room. Raises `Refused` for another room."""
    given = asked.model_fields_set
    if "room_name" in given and asked.room_name != guest.room:
        raise Refused(HTTPStatus.FORBIDDEN, "not_yours", "This link is for another room.")
    identity = (
        asked.participant_identity if "participant_identity" in given else fresh_name("guest")
    )
    return replace(asked.person(), room=guest.room, identity=identity)
