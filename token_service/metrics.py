"""Prometheus metrics of this process and of the fleet, for `/metrics`."""

from prometheus_client import Counter, Gauge

TOKENS = Counter("moshi_tokens", "Token requests by outcome.", ["outcome"])
CHATS = Counter("moshi_chats_asked", "WebSockets at /api/chat by outcome.", ["outcome"])
ROOM_CLIENTS = Counter(
    "moshi_room_clients_asked", "WebSockets at /sessions/{id}/audio by outcome.", ["outcome"]
)
DISPATCHES = Counter(
    "moshi_dispatches",
    "Dispatched hosts: a room's first, a later one, or for a move.",
    ["which"],
)
WEBHOOKS = Counter("moshi_webhooks", "Webhooks with a valid signature of LiveKit.", ["event"])
for which in ("first", "again", "move"):  # increase() does not see how a series begins above zero
    DISPATCHES.labels(which)
LOST_HOSTS = Counter("moshi_lost_hosts", "Hosts that were lost while people were in their rooms.")
BREAKERS = Counter("moshi_breakers", "Times that a failing worker was excluded for a while.")
SESSIONS = Counter("moshi_sessions", "Sessions opened or ended.", ["change"])
RATINGS = Counter("moshi_ratings", "Ratings of sessions by people, from 1 to 5.", ["rating"])
RATE_LIMITED = Counter("moshi_rate_limited", "Requests refused over a rate limit.", ["of"])
SLOTS_FREE = Gauge("moshi_fleet_slots_free", "Free slots of all workers.")
SLOTS_USED = Gauge("moshi_fleet_slots_used", "Used slots of all workers.")
WORKERS_READY = Gauge("moshi_fleet_workers_ready", "Workers that accept rooms.")
ROOMS_WAITING = Gauge("moshi_rooms_waiting", "Rooms with people that wait for a host.")
