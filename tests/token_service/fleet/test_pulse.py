"""The pulse of redis: when a missing heartbeat says that its worker is lost."""

from redis.asyncio import Redis

from protocol.heartbeat import HEARTBEAT_TTL_S
from token_service.fleet.pulse import LATE_S, Pulse


def test_a_redis_that_stood_still_is_steady_after_a_heartbeats_life(redis: Redis) -> None:
    """While redis stands still, and for a heartbeat's life after it, it is not steady."""
    now_s = 100.0
    pulse = Pulse(redis, lambda: now_s)
    steady = [pulse.is_steady()]
    pulse.answered()
    for wait_s in (LATE_S - 0.1, 0.2):
        now_s += wait_s
        steady.append(pulse.is_steady())
    pulse.answered()
    for _ in range(3):
        now_s += HEARTBEAT_TTL_S / 2
        steady.append(pulse.is_steady())
        pulse.answered()

    assert steady == [True, True, False, False, True, True]
