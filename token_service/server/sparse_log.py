"""A log filter: at most one record of a kind per second, so that requests cannot fill the disk."""

import logging
import time

KINDS = 1000  # remembered; they come from code, so there are some dozens


class OnePerSecond(logging.Filter):
    """Passes the first record of a kind in each second, with the number of those left out."""

    def __init__(self) -> None:
        super().__init__()
        self._until_s: dict[object, float] = {}
        self._left_out: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a record; add to it how many of its kind were left out."""
        kind = _kind(record)
        now_s = time.monotonic()
        if now_s < self._until_s.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        if len(self._until_s) > KINDS:
            self._until_s.clear()
        self._until_s[kind] = now_s + 1.0
        if not (left_out := self._left_out.pop(kind, 0)):
            return True
        if isinstance(record.msg, dict):
            record.msg = record.msg | {"left_out": left_out}
        else:
            record.msg = f"{record.getMessage().rstrip()} ({left_out} more like it were left out)"
            record.args = ()
        return True


def _kind(record: logging.LogRecord) -> object:
    """Return structlog's event with its reason, else the unformatted text with the exception."""
    if isinstance(record.msg, dict):
        event = record.msg
        return record.name, event.get("event"), event.get("reason"), event.get("code")
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return record.name, str(record.msg), error
