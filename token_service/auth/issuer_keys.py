"""A cache of the keys that an issuer of JWTs publishes.

A cached key is used at once, so a slow issuer delays only JWTs with unknown keys. Those share one
fetch, which has a deadline; fetches are at least a second apart.
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
from token_service.refusals import Unavailable

log = structlog.stdlib.get_logger(__name__)

FETCH_S = 3.0  # deadline of a fetch
WAIT_S = 5.0  # deadline of a request that waits for the next fetch
PAUSE_S = 1.0  # between two fetches
FRESH_S = 300.0  # as pyjwt 2.15.1 `PyJWKClient`; older keys are fetched again in the background
USABLE_S = 900.0  # age limit while the issuer is away
AWAY = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
NO_KEYS = (jwt.PyJWTError, ValueError, AttributeError, TypeError)  # no JSON, or of another shape


class IssuerKeys:
    """Fetches and caches the keys, by id."""

    def __init__(self, url: str) -> None:
        """Fetch nothing yet."""
        self._url = url
        self._client = httpx.AsyncClient(
            timeout=FETCH_S,
            follow_redirects=True,
            proxy=proxy_url_for(url),
            trust_env=False,
            verify=ssl.create_default_context(),  # the machine's authorities, not certifi's
        )
        self._keys: dict[str, jwt.PyJWK] = {}
        self._held_since_s = -math.inf  # when the last good fetch began
        self._asked_since_s = -math.inf  # when the last fetch began
        self._fetching: asyncio.Task[None] | None = None

    @property
    def are_held(self) -> bool:
        """Tell whether usable keys are cached."""
        return bool(self._keys) and time.monotonic() - self._held_since_s < USABLE_S

    def held(self, key_id: object) -> jwt.PyJWK | None:
        """Return a cached key at once; start a fetch in the background if it is no longer fresh."""
        if not self.are_held or not isinstance(key_id, str):
            return None
        if time.monotonic() - self._held_since_s > FRESH_S:
            self._fetch()
        return self._keys.get(key_id)

    async def fetched(self, key_id: object) -> jwt.PyJWK | None:
        """Fetch the keys, then return one. Raises `Unavailable` if the issuer does not answer."""
        now_s = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while self._asked_since_s < now_s:
                    await asyncio.shield(self._fetch())
        if self._held_since_s < now_s:
            raise Unavailable("jwks_away", "The keys of the JWT issuer cannot be fetched.", 5)
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._client.aclose()

    def _fetch(self) -> asyncio.Task[None]:
        """Return the running fetch, or start one."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_once(), name="issuer's keys")
        return self._fetching

    async def _fetch_once(self) -> None:
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
