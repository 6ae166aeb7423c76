"""Clients of redis that leave a server which has become a replica."""

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError


class _Leaving:
    """A connection that is closed after use where its server takes no writes any more.

    After a failover an address leads new connections to the new primary, and open ones stay where
    they are.
    """

    async def read_response(self, *args: Any, **options: Any) -> Any:
        connection: Any = super()
        try:
            return await connection.read_response(*args, **options)
        except ReadOnlyError:
            connection.mark_for_reconnect()
            raise


def open_redis(url: str, within_s: float = 1.0, **options: Any) -> Redis:
    """Return a client that waits so long for redis; it connects to nothing yet."""
    client = Redis.from_url(
        url, socket_timeout=within_s, socket_connect_timeout=within_s, **options
    )
    pool: Any = client.connection_pool
    pool.connection_class = type("LeavingConnection", (_Leaving, pool.connection_class), {})
    return client
