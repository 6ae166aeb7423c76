"""A request's body, up to a limit: nobody fills this process's memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 256 * 1024  # 14 personas with prompts of 1000 escaped characters


class BodyLimit:
    """Ends the reading of a body that is longer than `BODY_BYTES`: 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_BYTES:
                raise HTTPException(413, f"body: expected at most {BODY_BYTES} bytes")
            return message

        await self._app(scope, counted, send)
