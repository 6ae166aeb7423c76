"""The audit log: who minted or changed what for whom, one JSON line each, never a token.

The file may be moved away while the service runs (`WatchedFileHandler` opens it anew).
"""

import json
import logging
import os
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

from protocol.errors import InvalidInput
from token_service.callers import Caller


class Audit:
    """Writes lines, or nothing where no file is set."""

    def __init__(self, path: Path | None) -> None:
        """Open the file, which its owner alone can read. Raises `InvalidInput`."""
        self._handler: logging.Handler | None = None
        if path is None:
            return
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
        except OSError as error:
            raise InvalidInput(f"AUDIT_LOG={str(path)!r}: {error.strerror}") from error
        self._handler = WatchedFileHandler(path, encoding="utf-8", delay=True)

    def write(self, action: str, caller: Caller, **about: str) -> None:
        """Add one line: what was done, by whom, from where, and what it was about."""
        if self._handler is None:
            return
        line = {"at": datetime.now(UTC).isoformat(), "action": action, "caller": caller.id}
        line["address"] = caller.address
        if caller.guest is not None:
            line["guest_link"] = caller.guest.id
        text = json.dumps(line | about, ensure_ascii=False)
        self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()
