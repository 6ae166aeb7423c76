"""Rate limits per caller and address, counted in redis for all replicas.

Every call raises `RedisError` if redis is away, and `Refused` over a limit.
"""

import time
from http import HTTPStatus
from typing import Any

from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from protocol.config.settings import Settings
from token_service import metrics
from token_service.auth.callers import Caller, network_of
from token_service.refusals import Refused

KEY_PREFIX = "moshi:rate"
# JSON bytes of one caller's room specs: 55 rooms of the largest kind, 7,000 plain ones.
WRITTEN = parse(f"{4 * 2**20}/10 minutes")
FAILURES = parse("20/minute")  # invalid bearers of one address


class RateLimiter:
    """Counts requests and written bytes in sliding windows."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        options: dict[str, Any] = {"connection_pool": redis.connection_pool}
        storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=KEY_PREFIX, **options
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)
        per_address = parse(settings.rate_per_address)
        self._limits = {
            "address": per_address,
            "nobody": per_address,
            "failed": FAILURES,
            "caller": parse(settings.rate_per_caller),
            "written": WRITTEN,
        }

    async def anonymous(self, address: str) -> None:
        """Count a request for public data."""
        await self._count("address", network_of(address))

    async def request(self, caller: Caller) -> None:
        """Count a request of a verified caller, separately from others of its address.

        Thus invalid requests from an address cannot lock out its valid callers.
        """
        await self._count("address", f"{caller.counted_as} {network_of(caller.address)}")

    async def change(self, caller: Caller) -> None:
        """Count a caller's token request or change."""
        await self._count("caller", caller.counted_as)

    async def without_bearer(self, address: str) -> None:
        """Count a request that lacks a required bearer."""
        await self._count("nobody", network_of(address))

    async def failed(self, address: str) -> None:
        """Count an invalid bearer, or a JWT for which the issuer must be asked."""
        await self._count("failed", network_of(address))

    async def written(self, caller: Caller, count: int) -> None:
        """Count bytes that redis stores for a caller."""
        if not caller.is_own:
            sentence = (
                f"The rooms of this caller took more than {WRITTEN.amount} bytes in ten minutes. "
                "Shorten the personas' prompts, or slow down."
            )
            await self._count("written", caller.counted_as, count, sentence)

    async def _count(self, kind: str, key: str, cost: int = 1, sentence: str = "") -> None:
        limit = self._limits[kind]
        if await self._windows.hit(limit, kind, key, cost=cost):
            return
        stats = await self._windows.get_window_stats(limit, kind, key)
        metrics.RATE_LIMITED.labels(kind).inc()
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            sentence or f"At most {limit}. Slow down.",
            {"Retry-After": str(max(int(stats.reset_time - time.time()) + 1, 1))},
        )
