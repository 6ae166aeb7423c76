"""What the token service, the worker and the page agree on. Imports no torch, no livekit rtc."""
