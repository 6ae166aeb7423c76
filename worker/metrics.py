"""Prometheus metrics of rooms; the engine's are in `worker.engine.metrics`."""

from prometheus_client import Gauge, Histogram

TURN_S = Histogram(
    "moshi_turn_seconds",
    "End of a person's speech to a persona's first voiced frame",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0),
)
ROOMS = Gauge("moshi_rooms", "Rooms that this worker hosts")
CHATS = Gauge("moshi_chats", "Conversations over WebSockets, without a room")
ROOM_CLIENTS = Gauge("moshi_room_clients", "Participants of rooms that are WebSocket clients")
