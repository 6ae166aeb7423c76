"""Counters of this process and figures of the fleet, read at `/metrics`."""

from prometheus_client import Counter, Gauge

TOKENS = Counter("moshi_tokens", "Token requests by outcome.", ["outcome"])
DISPATCHES = Counter(
    "moshi_dispatches", "Hosts asked for: a room's first, or again after a loss.", ["which"]
)
WEBHOOKS = Counter("moshi_webhooks", "Webhooks of LiveKit with a good signature.", ["event"])
BREAKERS = Counter("moshi_breakers", "Times that a failing worker was given nothing for a while.")
SESSIONS = Counter("moshi_sessions", "Sessions opened or ended.", ["change"])
RATE_LIMITED = Counter("moshi_rate_limited", "Requests refused for their number.", ["of"])
SLOTS_FREE = Gauge("moshi_fleet_slots_free", "Slots of all workers that a new room could have.")
SLOTS_USED = Gauge("moshi_fleet_slots_used", "Slots of all workers that are in use.")
WORKERS_READY = Gauge("moshi_fleet_workers_ready", "Workers that take rooms.")
ROOMS_WAITING = Gauge("moshi_rooms_waiting", "Rooms with people in them that wait for a host.")
