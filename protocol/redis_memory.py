"""What redis does when it is full, as its `INFO memory` tells. Pure: asks no server.

Only `noeviction` keeps what nobody else knows: revoked tokens and guests' links have a time to live
like everything of ours, so the `volatile-` policies forget them too.
"""

from collections.abc import Mapping
from typing import Any

ADVICE = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration"


def forgetting(memory: Mapping[str, Any]) -> str | None:
    """Say that redis forgets keys when it is full; None where it does not, or has no limit."""
    limit_bytes = int(memory.get("maxmemory", 0))
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction" or limit_bytes == 0:
        return None
    return (
        f"redis forgets keys once it holds {limit_bytes / (1 << 20):.0f} MiB "
        f"(maxmemory-policy {policy}): revoked tokens would be good again"
    )
