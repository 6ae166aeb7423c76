"""One line a second of each kind: nobody fills the disk with what they send."""

import logging
import time

KINDS = 1000  # remembered; they come from code, so there are some dozens


class OnePerSecond(logging.Filter):
    """Passes the first record of a kind in each second, and says how many more there were."""

    def __init__(self) -> None:
        super().__init__()
        self._until_s: dict[object, float] = {}
        self._left_out: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written; add to it what was left out before it."""
        kind = _kind(record)
        now_s = time.monotonic()
        if now_s < self._until_s.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        if len(self._until_s) > KINDS:
            self._until_s.clear()
        self._until_s[kind] = now_s + 1.0
        if left_out := self._left_out.pop(kind, 0):
            _add(record, left_out)
        return True


def _kind(record: logging.LogRecord) -> object:
    """structlog's event with its reason; else the text before it is filled in, and the error."""
    if isinstance(record.msg, dict):
        said = record.msg
        return record.name, said.get("event"), said.get("reason"), said.get("code")
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return record.name, str(record.msg), error


def _add(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = record.msg | {"left_out": left_out}
    else:
        record.msg = f"{record.getMessage().rstrip()} ({left_out} more like it were left out)"
        record.args = ()


def thin_out(*loggers: str) -> None:
    """Have these loggers write one line of a kind a second."""
    for name in loggers:
        logging.getLogger(name).addFilter(OnePerSecond())
