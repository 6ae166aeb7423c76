"""Rate limits: so many requests of a caller or an address, counted in redis for all replicas."""

import time
from http import HTTPStatus
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from protocol.config.addresses import network_of
from protocol.config.settings import Settings
from token_service import metrics
from token_service.auth.callers import Caller
from token_service.errors import Refused

KEY_PREFIX = "moshi:rate"
# Of what one caller's rooms are promised, in JSON: 55 rooms of the largest kind, 7,000 plain ones.
WRITTEN = parse(f"{4 * 2**20}/10 minutes")
FAILURES = parse("20/minute")  # bearers of one address that were not good


class RateLimiter:
    """Counts. Every call raises `RedisError` where redis is away."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        options: dict[str, Any] = {"connection_pool": redis.connection_pool}
        storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=KEY_PREFIX, **options
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)
        self._per_address = parse(settings.rate_per_address)
        self._per_caller = parse(settings.rate_per_caller)

    async def count_anonymous(self, address: str) -> None:
        """Count a request for what everybody may see. Raises `Refused`."""
        await self._count(self._per_address, "address", network_of(address))

    async def let_in(self, caller: Caller) -> None:
        """Count a request of a caller at an address. Raises `Refused`.

        Apart from all others at that address: strangers who fail there keep nobody good out.
        """
        at = network_of(caller.address)
        await self._count(self._per_address, "address", f"{caller.counted_as} {at}")

    async def nobody(self, address: str) -> None:
        """Count a request without a bearer that needs one. Raises `Refused`."""
        await self._count(self._per_address, "nobody", network_of(address))

    async def failed(self, address: str) -> None:
        """Count a bearer that is not good, or that the issuer is asked for. Raises `Refused`."""
        await self._count(FAILURES, "failed", network_of(address))

    async def caller(self, caller: Caller) -> None:
        """Count a token or a change of a caller. Raises `Refused`."""
        await self._count(self._per_caller, "caller", caller.counted_as)

    async def written(self, caller: Caller, count: int) -> None:
        """Count bytes that are kept for a caller. Raises `Refused`."""
        if caller.is_own or await self._windows.hit(
            WRITTEN, "written", caller.counted_as, cost=count
        ):
            return
        sentence = (
            f"Rooms that this caller asked for in the last ten minutes take more than "
            f"{WRITTEN.amount} bytes. Shorten the personas' prompts, or slow down."
        )
        await self._refuse(WRITTEN, "written", caller.counted_as, sentence)

    async def _count(self, limit: RateLimitItem, kind: str, who: str) -> None:
        if not await self._windows.hit(limit, kind, who):
            await self._refuse(limit, kind, who)

    async def _refuse(self, limit: RateLimitItem, kind: str, who: str, sentence: str = "") -> None:
        stats = await self._windows.get_window_stats(limit, kind, who)
        metrics.RATE_LIMITED.labels(kind).inc()
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            sentence or f"At most {limit}. Slow down.",
            {"Retry-After": str(max(int(stats.reset_time - time.time()) + 1, 1))},
        )
