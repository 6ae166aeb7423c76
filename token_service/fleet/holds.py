"""Holds: how many slots one caller has held for people who have not come.

A session's place is held from the start (`places`), but one caller holds no more than a share of
all slots in that way; strangers count by their address. A session beyond that is opened without a
hold, and has its place when a person comes. A stranger's hold counts for longer than it lasts:
otherwise the same address would hold the same slots again and again.
"""

from redis.asyncio import Redis

from token_service.auth.callers import Caller
from token_service.fleet.reader import Fleet

HOLDS_KEY = "moshi:holds"  # room → "until_ms slots holder"
SHARE = 2  # a caller with a name: half of all slots
STRANGERS_SHARE = 4
LEAST = 2  # slots, of a small fleet
REMEMBERED_S = 300.0  # of a stranger's

# KEYS: holds. ARGV: room, slots, milliseconds that it counts, the most slots, whether one alone
# may be more, holder. Gives 1 where the room's slots are counted from now on.
GRANT = """
local room, slots, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local others = 0
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local until_ms, count, holder = string.match(held[i + 1], '^(%d+) (%d+) (.*)$')
  if tonumber(until_ms) <= now_ms then
    redis.call('HDEL', KEYS[1], held[i])
  elseif holder == ARGV[6] and held[i] ~= room then
    others = others + tonumber(count)
  end
end
if others + slots > most and not (others == 0 and ARGV[5] == '1') then return 0 end
redis.call('HSET', KEYS[1], room, string.format('%d %d %s', now_ms + ARGV[3], slots, ARGV[6]))
return 1
"""


class Holds:
    """Counts holds. Every call raises `RedisError` where redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._grant = redis.register_script(GRANT)

    async def grant(
        self, caller: Caller, room: str, slots: int, hold_s: float, fleet: Fleet
    ) -> bool:
        """Count a room's slots as held by a caller; False: that would be more than its share.

        Callers of this machine, which need no name, are not counted.
        """
        if caller.is_own:
            return True
        share = STRANGERS_SHARE if caller.is_stranger else SHARE
        counts_s = max(hold_s, REMEMBERED_S) if caller.is_stranger else hold_s
        most = max(fleet.slots_total // share, LEAST)
        alone = int(caller.is_named)
        args = [room, slots, int(counts_s * 1000), most, alone, caller.counted_as]
        return bool(await self._grant(keys=[HOLDS_KEY], args=args))

    async def forget(self, room: str) -> None:
        """Count a room no longer: nothing was held for it after all."""
        await self._redis.hdel(HOLDS_KEY, room)
