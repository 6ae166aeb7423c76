"""Tell the person how far the start is, then where the page is; after that, only wait.

A process of its own under the launcher, so that its lines are in the one log. Stays until it is
told to end: the launcher takes the end of any process for the end of all.
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
    """How far the processes are, in a sentence; `None` when a person can begin."""

    def __init__(self, ready_url: str, worker_url: str, client: httpx.Client) -> None:
        self._ready_url, self._worker_url, self._client = ready_url, worker_url, client

    def __call__(self) -> str | None:
        """Ask both; the token service has the last word, as it also asks LiveKit and redis."""
        ready = self._ask(self._ready_url)
        if ready is not None and ready.is_success:
            return None
        worker = self._worker()
        if worker is not None:
            return worker
        if ready is None:
            return "the token service starts"
        return str(ready.json().get("reason") or "the token service is not ready")

    def _worker(self) -> str | None:
        answer = self._ask(self._worker_url)
        if answer is None:
            return "the worker starts"
        told = answer.json()
        if told["state"] == "ready":
            return None
        words = f"the worker: {told['state'].replace('_', ' ')}"
        return f"{words}, {told['reason']}" if told.get("reason") else words

    def _ask(self, url: str) -> httpx.Response | None:
        try:
            return self._client.get(url)
        except httpx.TransportError:
            return None


def wait_for_ready(look: Callable[[], str | None], say: Callable[[str], None]) -> None:
    """Say what is waited for, when it changes and now and then, until nothing is."""
    began = said_at = time.monotonic()
    said = ""
    while (missing := look()) is not None:
        now = time.monotonic()
        if missing != said or now - said_at > REMIND_EVERY_S:
            say(f"{missing} ({now - began:.0f} s)")
            said, said_at = missing, now
        time.sleep(LOOK_EVERY_S)


def banner(address: str) -> str:
    """Where the page is, not to be overlooked."""
    text = f"  Open {address} and talk. Ctrl-C stops everything.  "
    line = "─" * len(text)
    return f"╭{line}╮\n│{text}│\n╰{line}╯"


def for_the_network(welcome: str, fingerprint: str, who_may: str) -> str:
    """How other devices come in: a QR code of the page that says how to trust the certificate."""
    code = io.StringIO()
    segno.make_qr(welcome, error="l").terminal(code, compact=True, border=4)
    everybody = who_may == "open"
    return "\n".join(
        [
            code.getvalue().rstrip("\n"),
            f"Phones and other computers: scan this, or open {welcome}",
            "It says how to trust the certificate, once per device. SHA-256 of its authority:",
            f"  {fingerprint}",
            "Everybody in this network may talk (AUTH_MODE=api_keys asks for keys)."
            if everybody
            else f"Who may talk: AUTH_MODE={who_may}.",
        ]
    )


def main() -> None:
    """Announce, then wait for the end."""
    parser = argparse.ArgumentParser(prog="announce", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--ready-url", required=True)
    parser.add_argument("--worker-url", required=True)
    parser.add_argument("--welcome", help="where the network's devices begin")
    parser.add_argument("--fingerprint", default="")
    parser.add_argument("--who-may", default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        wait_for_ready(ReadinessPoll(given.ready_url, given.worker_url, client), _say)
    if given.welcome:
        _say(for_the_network(given.welcome, given.fingerprint, given.who_may))
    _say(banner(given.address))
    signal.pause()


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
