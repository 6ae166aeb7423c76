"""Attack a token service over HTTP for some seconds: `python -m bench.http_attack URL SECONDS`.

Keeps 1,000 connections open that have sent half a request, and tries 400 keys that do not exist.
Prints how many of the keys were answered. A process of its own, so that `bench.attacks` can run it
at a lower priority. On loopback only.
"""

import asyncio
import sys
import time
from contextlib import suppress

import httpx

from tests.token_service.server.half_requests import BODY, CHUNKED, HEAD, halves, held

BAD_KEYS = 400
HALF_REQUESTS = 1_000


async def try_bad_keys(url: str, until_s: float) -> int:
    """Send requests with keys that do not exist until a moment; return how many were answered."""
    answered = 0
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as http:
        for number in range(BAD_KEYS):
            if time.monotonic() > until_s:
                break
            headers = {"Authorization": f"Bearer mrk_0_{number}"}
            with suppress(httpx.HTTPError):
                await http.post("/token", json={}, headers=headers)
                answered += 1
            await asyncio.sleep(0.02)
    return answered


def main(url: str, seconds: float) -> None:
    """Hold half requests and try bad keys for so long."""
    until_s = time.monotonic() + seconds
    requests = halves(BODY, HEAD, CHUNKED)
    with held(httpx.URL(url).port or 80, requests, HALF_REQUESTS):
        print(asyncio.run(try_bad_keys(url, until_s)), flush=True)
        time.sleep(max(until_s - time.monotonic(), 0))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
