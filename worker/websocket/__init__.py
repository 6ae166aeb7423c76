"""Conversations over WebSockets, without a room: Moshi's own protocol. Main loop."""
