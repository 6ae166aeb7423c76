"""Report the progress of the start, then print the page's address, then wait for the end.

A process of its own under honcho, so that its lines are in the same log. It stays until SIGTERM,
because honcho stops all processes when one of them ends.
"""

import argparse
import io
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import httpx
import segno

LOOK_EVERY_S = 0.25
REMIND_EVERY_S = 10.0


class ReadinessPoll:
    """Asks for the state of the start; a call returns it in words, or `None` when all is ready."""

    def __init__(self, ready_url: str, worker_url: str, client: httpx.Client) -> None:
        self._ready_url, self._worker_url, self._client = ready_url, worker_url, client

    def __call__(self) -> str | None:
        """Ask both services; the token service decides, as it also asks LiveKit and redis."""
        ready = self._get(self._ready_url)
        if ready is not None and ready.is_success:
            return None
        if (worker := self._worker_state()) is not None:
            return worker
        if ready is None:
            return "the token service starts"
        return str(ready.json().get("reason") or "the token service is not ready")

    def _worker_state(self) -> str | None:
        answer = self._get(self._worker_url)
        if answer is None:
            return "the worker starts"
        health = answer.json()
        if health["state"] == "ready":
            return None
        words = f"the worker: {health['state'].replace('_', ' ')}"
        return f"{words}, {health['reason']}" if health.get("reason") else words

    def _get(self, url: str) -> httpx.Response | None:
        try:
            return self._client.get(url)
        except httpx.TransportError:
            return None


def wait_for_ready(poll: Callable[[], str | None]) -> None:
    """Wait until `poll` returns `None`; print what it returns, on change and every 10 s."""
    began = printed_at = time.monotonic()
    printed = ""
    while (missing := poll()) is not None:
        now = time.monotonic()
        if missing != printed or now - printed_at > REMIND_EVERY_S:
            print(f"{missing} ({now - began:.0f} s)", flush=True)
            printed, printed_at = missing, now
        time.sleep(LOOK_EVERY_S)


def banner(address: str) -> str:
    """Return the page's address in a box."""
    text = f"  Open {address} and talk. Ctrl-C stops everything.  "
    line = "─" * len(text)
    return f"╭{line}╮\n│{text}│\n╰{line}╯"


def for_the_network(welcome: str, fingerprint: str, auth_mode: str) -> str:
    """Return instructions for other devices, with a QR code of the welcome page."""
    code = io.StringIO()
    segno.make_qr(welcome, error="l").terminal(code, compact=True, border=4)
    access = (
        "Everybody in this network may talk (AUTH_MODE=api_keys requires keys)."
        if auth_mode == "open"
        else f"Who may talk: AUTH_MODE={auth_mode}."
    )
    return "\n".join(
        [
            code.getvalue().rstrip("\n"),
            f"Phones and other computers: scan this, or open {welcome}",
            "The page explains how to trust the certificate, once per device. Its authority's "
            "SHA-256:",
            f"  {fingerprint}",
            access,
        ]
    )


def main() -> None:
    """Announce, then wait for SIGTERM."""
    parser = argparse.ArgumentParser(prog="announce", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--ready-url", required=True)
    parser.add_argument("--worker-url", required=True)
    parser.add_argument("--welcome", help="the first page for devices in the network")
    parser.add_argument("--fingerprint", default="")
    parser.add_argument("--auth-mode", default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        wait_for_ready(ReadinessPoll(given.ready_url, given.worker_url, client))
    if given.welcome:
        print(for_the_network(given.welcome, given.fingerprint, given.auth_mode), flush=True)
    print(banner(given.address), flush=True)
    signal.pause()


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
