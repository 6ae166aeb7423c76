"""The log of LiveKit's native code: what of it reaches us, and what that costs.

livekit 1.1.21 has its native library hand over every record that any of its parts writes, down to
WebRTC's traces, one call into Python each (livekit-ffi logger.rs `log_forward_task`), and throws
nearly all of them away there (`_ffi_client.py` `ffi_event_callback`). They wait in a queue without
an end: rooms that come and go made 4 MiB of it per visit, and calls of all rooms paid for it.
"""

import os

from livekit.rtc import _ffi_client as ffi
from livekit.rtc.version import __version__

# Errors alone, and none of streams: each message that a participant gets wrong would be a line.
LEVELS = "error,livekit_data_stream=off"


def disable_native_log_capture() -> None:
    """Let the native library write its log itself, to stderr, as `RUST_LOG` says or `LEVELS`.

    Initializing again is how the library takes another answer to `capture_logs`; the rest stays.
    """
    os.environ.setdefault("RUST_LOG", LEVELS)
    library = ffi.FfiClient.instance._ffi_lib  # it has no public way
    library.livekit_ffi_initialize(ffi.ffi_event_callback, False, b"python", __version__.encode())
