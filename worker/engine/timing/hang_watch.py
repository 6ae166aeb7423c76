"""Ends the process where the engine hangs, and shows where. Engine thread only.

Native code may hang and hold the interpreter lock, so a native thread watches (`faulthandler`). To
arm it starts that thread and to disarm it waits for its end, with the lock held: for up to 46 ms
on a busy machine. So it is armed every few seconds and not in every step.
"""

import faulthandler
import time

HANGS_S = 20.0  # a step, with its joins and its gap, that takes this long never ends
REARMS_S = 5.0
IDLE_S = 1.0  # without work for so long, the engine is not watched


class HangWatch:
    """Watches from the first sign of work until there is none."""

    def __init__(self) -> None:
        self._armed_s: float | None = None

    @property
    def idle_in_s(self) -> float | None:
        """How long to wait for work before `idle`; None: it is not watched."""
        return None if self._armed_s is None else IDLE_S

    def works(self) -> None:
        """Note that the engine does not hang."""
        now_s = time.monotonic()
        if self._armed_s is None or now_s - self._armed_s >= REARMS_S:
            faulthandler.dump_traceback_later(HANGS_S + REARMS_S, exit=True)
            self._armed_s = now_s

    def idle(self) -> None:
        """Stop watching until the engine works again."""
        if self._armed_s is not None:
            faulthandler.cancel_dump_traceback_later()
            self._armed_s = None
