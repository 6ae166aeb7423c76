"""What the token service, the worker and the page agree on. Imports no torch, no livekit rtc."""

from protocol.config.waiting import mend_wait_for

mend_wait_for()  # before any process of ours waits
