"""The audit log: one JSON line for each token and change, with its caller; never a token.

Each write opens the file again, so that it can be rotated. If a line cannot be written, its request
is refused, and the next ones are refused before they change anything.
"""

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import structlog

from protocol.errors import InvalidInput
from token_service.auth.callers import Caller
from token_service.refusals import Unavailable

log = structlog.stdlib.get_logger(__name__)


class AuditAway(Unavailable):
    def __init__(self) -> None:
        super().__init__(
            "audit_away", "The audit log cannot be written, so changes are refused.", 10
        )


class Audit:
    """Writes the log, if a file is set."""

    def __init__(self, path: Path | None) -> None:
        """Open the file; a new one is readable by its owner only. Raises `InvalidInput`."""
        self._path = path
        self._is_away = False
        self._is_torn = False  # the last line was written in part
        try:
            if path is not None:
                os.close(_opened(path))
        except OSError as error:
            expected = "expected a file to write to"
            raise InvalidInput(f"AUDIT_LOG={str(path)!r}: {expected}: {error.strerror}") from error

    def write(self, action: str, caller: Caller, **about: str) -> None:
        """Add one line: the action, its caller and address, and its objects. Raises `AuditAway`."""
        line = {"caller": caller.id, "address": caller.address}
        if caller.guest is not None:
            line["guest_link"] = caller.guest.id
        self._append(action, line | about)

    def require(self) -> None:
        """Raise `AuditAway` if the last line could not be written and still none can."""
        if self._is_away:
            self._append("audit_resumed", {})

    def _append(self, action: str, about: dict[str, str]) -> None:
        if self._path is None:
            return
        line = {"at": datetime.now(UTC).isoformat(), "action": action} | about
        text = "\n" * self._is_torn + json.dumps(line, ensure_ascii=False) + "\n"
        try:
            self._write(self._path, text.encode())
        except OSError as error:
            self._is_away = True
            log.error("audit_away", reason=error.strerror)
            raise AuditAway from error
        self._is_away = self._is_torn = False

    def _write(self, path: Path, line: bytes) -> None:
        file = _opened(path)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
        if written < len(line):
            self._is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
