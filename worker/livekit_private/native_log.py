"""Keeps the log of LiveKit's native library out of Python.

livekit 1.1.21 passes every record of its native library to Python, down to WebRTC's traces, one
call each (livekit-ffi logger.rs `log_forward_task`), and discards nearly all of them there
(`_ffi_client.py` `ffi_event_callback`). They wait in an unbounded queue: visits to rooms left 4 MiB
each in it, and the calls slowed all rooms.
"""

import os

from livekit.rtc import _ffi_client as ffi
from livekit.rtc.version import __version__

# Only errors, and none of streams: each malformed message of a participant would write a line.
LEVELS = "error,livekit_data_stream=off"


def disable_native_log_capture() -> None:
    """Have the native library write its log to stderr itself, as `RUST_LOG` or `LEVELS` says.

    The library takes another value of `capture_logs` by a second initialization; nothing else
    changes.
    """
    os.environ.setdefault("RUST_LOG", LEVELS)
    library = ffi.FfiClient.instance._ffi_lib  # there is no public way
    library.livekit_ffi_initialize(ffi.ffi_event_callback, False, b"python", __version__.encode())
