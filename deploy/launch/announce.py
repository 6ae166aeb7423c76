"""Report the progress of the start, then print the page's address, then wait for the end.

A process of its own under honcho, so that its lines are in the same log. It stays until SIGTERM,
because honcho stops all processes when one of them ends.
"""

import argparse
import io
import signal
import sys
import time

import httpx
import segno

LOOK_EVERY_S = 0.25
REMIND_EVERY_S = 10.0


def missing(ready_url: str, worker_url: str, client: httpx.Client) -> str | None:
    """Return in words which part is not ready yet, or `None`.

    The token service decides, as it also asks LiveKit and redis.
    """
    ready = _get(client, ready_url)
    if ready is not None and ready.is_success:
        return None
    answer = _get(client, worker_url)
    if answer is None:
        return "the worker starts"
    worker = answer.json()
    if worker["state"] != "ready":
        words = f"the worker: {worker['state'].replace('_', ' ')}"
        return f"{words}, {worker['reason']}" if worker.get("reason") else words
    if ready is None:
        return "the token service starts"
    return str(ready.json().get("reason") or "the token service is not ready")


def _get(client: httpx.Client, url: str) -> httpx.Response | None:
    try:
        return client.get(url)
    except httpx.TransportError:
        return None


def wait_for_ready(ready_url: str, worker_url: str) -> None:
    """Wait until all is ready; print the missing part, on change and every 10 s."""
    began = printed_at = time.monotonic()
    printed = ""
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while (words := missing(ready_url, worker_url, client)) is not None:
            now = time.monotonic()
            if words != printed or now - printed_at > REMIND_EVERY_S:
                print(f"{words} ({now - began:.0f} s)", flush=True)
                printed, printed_at = words, now
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wait_for_ready(given.ready_url, given.worker_url)
    if given.welcome:
        print(for_the_network(given.welcome, given.fingerprint, given.auth_mode), flush=True)
    print(banner(given.address), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
