"""Whether a full redis evicts keys, by its `INFO memory`. Pure.

Only `noeviction` keeps revoked tokens: they have a time to live like all keys here, so that the
`volatile-` policies evict them too.
"""

from collections.abc import Mapping
from typing import Any

ADVICE = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration"


def forgetting(memory: Mapping[str, Any]) -> str | None:
    """Return a warning if redis evicts keys when it is full."""
    limit_bytes = int(memory.get("maxmemory", 0))
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction" or limit_bytes == 0:
        return None
    return (
        f"redis forgets keys once it holds {limit_bytes / (1 << 20):.0f} MiB "
        f"(maxmemory-policy {policy}): revoked tokens would be good again"
    )
