"""The keys that an issuer of JWTs publishes, kept so that nobody waits for a slow issuer.

What is held is used at once. An unknown key is asked for in one request for all who wait, which has
a deadline as a whole, and at most one a second.
"""

import asyncio
import math
import ssl
import time
from contextlib import suppress

import httpx
import jwt
import structlog

from protocol.config.proxies import proxy_url_for
from token_service.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

FETCH_S = 3.0  # for a whole answer, however slowly it comes
WAIT_S = 5.0  # for a fetch that begins after the question
PAUSE_S = 1.0  # between two fetches
FRESH_S = 300.0  # as pyjwt 2.15.1 `PyJWKClient`; then they are fetched again, beside the requests
USABLE_S = 900.0  # where the issuer is away
AWAY = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
NO_KEYS = (jwt.PyJWTError, ValueError, AttributeError, TypeError)  # or no JSON, or of another shape


class IssuerKeys:
    """Holds the keys by their ids."""

    def __init__(self, url: str) -> None:
        """Fetch nothing yet."""
        self._url = url
        self._client = httpx.AsyncClient(
            timeout=FETCH_S,
            follow_redirects=True,
            proxy=proxy_url_for(url),
            trust_env=False,
            verify=ssl.create_default_context(),  # the machine's own authorities, not certifi's
        )
        self._keys: dict[str, jwt.PyJWK] = {}
        self._held_since_s = -math.inf  # when the last good fetch began
        self._asked_since_s = -math.inf  # when the last fetch began
        self._fetching: asyncio.Task[None] | None = None

    @property
    def are_held(self) -> bool:
        """Whether there are keys that may be used."""
        return bool(self._keys) and time.monotonic() - self._held_since_s < USABLE_S

    def held(self, key_id: object) -> jwt.PyJWK | None:
        """Give a key without waiting; where it is no longer fresh, have it fetched meanwhile."""
        if not self.are_held or not isinstance(key_id, str):
            return None
        if time.monotonic() - self._held_since_s > FRESH_S:
            self._fetch()
        return self._keys.get(key_id)

    async def asked_for(self, key_id: object) -> jwt.PyJWK | None:
        """Give a key as the issuer publishes it now. Raises `Unavailable` where it does not say."""
        now_s = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while self._asked_since_s < now_s:
                    await asyncio.shield(self._fetch())
        if self._held_since_s < now_s:
            raise Unavailable("jwks_away", "The issuer's keys cannot be fetched.", 5)
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    async def close(self) -> None:
        """End what is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._client.aclose()

    def _fetch(self) -> asyncio.Task[None]:
        """Give the fetch that is under way, or begin one."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetched(), name="issuer's keys")
        return self._fetching

    async def _fetched(self) -> None:
        await asyncio.sleep(max(self._asked_since_s + PAUSE_S - time.monotonic(), 0.0))
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(FETCH_S):
                answer = (await self._client.get(self._url)).raise_for_status()
            published = jwt.PyJWKSet.from_dict(answer.json())
        except (*AWAY, *NO_KEYS) as error:
            log.warning("jwks_away", kind=type(error).__name__)
        else:
            self._keys = {
                key.key_id: key
                for key in published.keys
                if key.key_id and key.public_key_use in ("sig", None)
            }
            self._held_since_s = began_s
        self._asked_since_s = began_s
