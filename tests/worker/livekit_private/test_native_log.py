"""What LiveKit's native library logs does not reach Python's log."""

import os
import subprocess
import sys

from harness.servers import free_port

CALL = """
import asyncio, logging, sys
logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
from livekit import rtc
from worker.livekit_private.native_log import disable_native_log_capture
{first}
async def call():
    try:
        await rtc.Room().connect("ws://127.0.0.1:{port}", "token")
    except rtc.ConnectError:
        pass
    await asyncio.sleep(1.5)
asyncio.run(call())
"""


def _call(first: str) -> subprocess.CompletedProcess[str]:
    """Run a process that finds no LiveKit server; what Python logs goes to its stdout."""
    return subprocess.run(
        [sys.executable, "-c", CALL.format(first=first, port=free_port())],
        env={**os.environ, "RUST_LOG": "info"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_native_records_do_not_come_into_python() -> None:
    """The native library logs to stderr as `RUST_LOG` says, and nothing to Python's log."""
    before, after = _call(""), _call("disable_native_log_capture()")

    assert "livekit:" in before.stdout
    assert "livekit:" not in after.stdout
    assert "livekit" in after.stderr
