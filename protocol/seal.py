"""The signature of a dispatch: its metadata is valid only with a seal, and for one room. Pure.

Every participant can read the agent name of a worker (an attribute that LiveKit sets), and a
frontend that copies a client's `room_config` into its token lets that client dispatch to this name.
Token service and worker share LiveKit's secret, which such a client does not have.
"""

import hashlib
import hmac

from protocol.config.secret import key_for
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.room_spec import RoomSpec

PURPOSE = "moshi-rooms dispatch"


class Seal:
    """Writes and reads the metadata of dispatches: a signature, a space, the room spec as JSON."""

    def __init__(self, settings: Settings) -> None:
        self._key = key_for(settings, PURPOSE)

    def close(self, spec: RoomSpec) -> str:
        text = spec.metadata()
        return f"{self._signature(text)} {text}"

    def open(self, metadata: str, room: str) -> RoomSpec:
        """Return the spec of a dispatch to `room`. Raises `InvalidInput` for an invalid seal."""
        signature, _, text = metadata.partition(" ")
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            raise InvalidInput(
                "job metadata: expected what a token service with this LIVEKIT_API_SECRET sealed"
            )
        spec = RoomSpec.from_metadata(text)
        if spec.room != room:
            raise InvalidInput(f"job metadata: room={spec.room!r:.80}: expected {room!r:.80}")
        return spec

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
