"""Recordings over HTTP: list, read, delete. They outlive their sessions by `RECORD_DAYS`."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import StreamingResponse

from protocol.recordings.byte_range import range_of
from protocol.recordings.names import FILE, MEDIA_TYPES, SESSION
from protocol.text import Matching
from token_service.errors import BEYOND, REFUSALS
from token_service.http.access import CountedRoute, Recordist
from token_service.refusals import Refused
from token_service.service import OpenService
from token_service.sessions.recordings import RecordedPart

router = APIRouter(tags=["recordings"], route_class=CountedRoute, responses=REFUSALS)

SessionId = Annotated[str, Path(), Matching(SESSION, "the id of a session")]
FileName = Annotated[
    str,
    Path(description="As listed: `.ogg`, `.json` or `.vtt`."),
    Matching(FILE, "a file's name as listed, as 20261129T081500Z-1.ogg"),
]
FILES = {
    "description": "The file.",
    "content": {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for media_type in MEDIA_TYPES.values()
    },
}


@router.get("/recordings")
async def list_recordings(service: OpenService, caller: Recordist) -> list[RecordedPart]:
    """List the caller's recordings, the latest first, also of sessions long over."""
    if caller.is_stranger:
        sentence = "AUTH_MODE=open gives strangers no list of recordings."
        raise Refused(HTTPStatus.FORBIDDEN, "not_listed", sentence)
    return await service.recordings.of(caller)


@router.get("/sessions/{session_id}/recordings")
async def list_session_recordings(
    session_id: SessionId, service: OpenService, caller: Recordist
) -> list[RecordedPart]:
    """List the parts of a session's recording, the latest first; none if it has no recording."""
    return await service.recordings.of(caller, session_id)


@router.get(
    "/sessions/{session_id}/recordings/{file}",
    response_class=StreamingResponse,
    responses={200: FILES, 206: FILES | {"description": "The part in `Range`."}, 416: BEYOND},
)
async def read_recording(
    session_id: SessionId,
    file: FileName,
    service: OpenService,
    caller: Recordist,
    part: Annotated[str, Header(alias="Range")] = "",
    if_range: Annotated[str, Header()] = "",
) -> StreamingResponse:
    """Read one file of a recording, or a part; of a session that is running, what there is so far.

    With `If-Range`, all of a file whose `ETag` is another one by now.
    """
    found = await service.recordings.read(caller, session_id, file, range_of(part), if_range)
    service.audit.write("recording_read", caller, session=session_id, file=file)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{session_id}-{file}"',
        "Accept-Ranges": "bytes",
        "Content-Length": str(found.end - found.begin),
    }
    if found.tag:
        headers["ETag"] = found.tag
    is_part = found.end - found.begin < found.size
    if is_part:
        headers["Content-Range"] = f"bytes {found.begin}-{found.end - 1}/{found.size}"
    kind = MEDIA_TYPES[file.rpartition(".")[2]]
    return StreamingResponse(found.chunks, 206 if is_part else 200, headers, kind)


@router.delete("/sessions/{session_id}/recordings", status_code=204)
async def delete_recordings(
    session_id: SessionId, service: OpenService, caller: Recordist
) -> Response:
    """Delete the recording of a session that is over, all parts of it."""
    await service.recordings.may_delete(caller, session_id)
    service.audit.write("recording_deleted", caller, session=session_id)  # it may break off
    await service.recordings.delete(caller, session_id)
    return Response(status_code=204)
