"""LiveKit's standard token endpoint, on its own path and on the sandbox's."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from protocol.errors import InvalidInput
from token_service import metrics
from token_service.auth.authenticator import Talker
from token_service.auth.callers import Caller, GuestPass
from token_service.auth.grants import Person
from token_service.errors import Problem, Refused, Unavailable
from token_service.http.token_request import TokenRequest, fresh_name, request_schema
from token_service.rooms.admission import AdmissionRequest
from token_service.server.route import CountedRoute
from token_service.service import OpenService, Service

log = structlog.stdlib.get_logger(__name__)
router = APIRouter(tags=["token"], route_class=CountedRoute)


class TokenAnswer(BaseModel):
    """Where to connect, and the JWT to connect with.

    `unknown_fields`: those of the request that changed nothing; absent where there are none.
    """

    server_url: str
    participant_token: str
    room_name: str
    participant_name: str
    unknown_fields: list[str] | None = None


ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A field cannot be used; `detail` names it."},
    401: {"model": Problem, "description": "Nobody in particular calls."},
    403: {"model": Problem, "description": "The room or the identity is somebody else's."},
    413: {"model": Problem, "description": "The body is too long."},
    429: {"model": Problem, "description": "Too many requests; see `Retry-After`."},
    503: {"model": Problem, "description": "No place now; come back after `Retry-After` seconds."},
}


@router.post(
    "/token",
    status_code=201,
    response_model=TokenAnswer,
    responses=ANSWERS,
    openapi_extra=request_schema(),
)
@router.post(
    "/api/v2/sandbox/connection-details",
    status_code=201,
    response_model=TokenAnswer,
    responses=ANSWERS,
    openapi_extra=request_schema(),
)
async def mint_token(request: Request, service: OpenService, caller: Talker) -> JSONResponse:
    """Let a person into a room with the personas asked for, or with the default one.

    Nothing is started by it: the personas come when the person has joined.
    """
    try:
        answer = await _admit(service, caller, TokenRequest.from_body(await request.body()))
    except Refused as error:
        metrics.TOKENS.labels(error.code).inc()
        raise
    except InvalidInput:
        metrics.TOKENS.labels("invalid_input").inc()
        raise
    except Unavailable as error:
        metrics.TOKENS.labels(error.code).inc()
        raise
    metrics.TOKENS.labels("minted").inc()
    headers = {"Cache-Control": "no-store"}
    said = answer.model_dump(exclude_none=True)
    return JSONResponse(said, status_code=201, headers=headers)


async def _admit(service: Service, caller: Caller, asked: TokenRequest) -> TokenAnswer:
    person = asked.person()
    personas = asked.personas(service.catalogue, service.settings.default_persona)
    if caller.guest is not None:
        person = await _as_guest(service, caller.guest, asked)
    spec = await service.admission.admit(AdmissionRequest(person.room, personas, caller))
    if caller.guest is not None:
        await service.guests.count(caller.guest, person.identity)
    token, token_id = await service.passes.mint(person, spec, caller.guest)
    log.info("token_minted", room=spec.room, personas=len(spec.personas))
    service.audit.write(
        "token_minted",
        caller,
        session=spec.session,
        room=person.room,
        identity=person.identity,
        token_id=token_id,
    )
    return TokenAnswer(
        server_url=service.settings.livekit_public_url,
        participant_token=token,
        room_name=person.room,
        participant_name=person.name,
        unknown_fields=asked.unknown_fields or None,
    )


async def _as_guest(service: Service, guest: GuestPass, asked: TokenRequest) -> Person:
    """A guest comes into the link's room, and under no identity of who did not come by the link.

    Those who did may come back, and are not told apart: a link is for people who trust each other.
    """
    said = asked.model_fields_set
    if "room_name" in said and asked.room_name != guest.room:
        raise Refused(HTTPStatus.FORBIDDEN, "not_yours", "This link is for another room.")
    identity = asked.participant_identity if "participant_identity" in said else fresh_name("guest")
    if await service.passes.of(guest.room, identity):
        came = await service.guests.joined_by(guest.id)
        if identity not in came:
            raise Refused(HTTPStatus.FORBIDDEN, "identity_taken", "This identity is another's.")
    return replace(asked.person(), room=guest.room, identity=identity)
