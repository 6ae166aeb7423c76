"""The terminal of `make run`: one line per step, the address, and later only what went wrong.

Everything that the processes say is in a file. Elsewhere than on a terminal all of it is printed.
"""

import fcntl
import itertools
import re
import sys
from pathlib import Path
from typing import TextIO

from honcho.printer import Message, Printer

ANNOUNCER = "ready"  # the process that tells the progress of the start
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WRONG = re.compile(r"\[(warning|error|critical) *\]|\b(giving up|restarting it|; again in)\b")
ENDED = re.compile(r" ended by itself \(exit status")
NO_REASON = re.compile(r"\[(debug|info) *\]")  # why a process ended is in no such line


class LastingPrinter(Printer):
    """Write every line; those that a full disk does not take are lost, and no call ends."""

    is_away = False  # the last line could not be written

    def write(self, message: Message) -> None:
        """Write one message; say once on stderr that the log cannot be written."""
        try:
            super().write(message)
            self.is_away = False
        except BrokenPipeError:  # its reader has ended, and so do we
            raise
        except OSError as error:
            if not self.is_away:
                said = f"==> the log cannot be written: {error.strerror}; everything goes on"
                print(said, file=sys.stderr, flush=True)
            self.is_away = True


class Screen(LastingPrinter):
    """Write every line of every process into a file, and the few for people to the terminal too.

    One of them is the last line of a process that ended by itself: it says why.
    """

    def __init__(self, log: TextIO, terminal: TextIO = sys.stdout) -> None:
        super().__init__(log, colour=False)
        self._terminal = terminal
        self._last: dict[str, str] = {}  # by process: its last line, unless that was shown

    def write(self, message: Message) -> None:
        """Write one message: bytes or text, of one line or several."""
        data = message.data
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        text = COLOURS.sub("", text)
        super().write(message._replace(data=text))
        for line in text.splitlines():
            if message.name == ANNOUNCER:
                print(line, file=self._terminal, flush=True)
                continue
            if ENDED.search(line):
                self._show(message.name, self._last.get(message.name, ""))
            self._last[message.name] = ""
            if WRONG.search(line):
                self._show(message.name, line)
            elif not NO_REASON.search(line):
                self._last[message.name] = line

    def _show(self, name: str, line: str) -> None:
        if line:
            said = line.removeprefix(f"{name}: ")
            print(f"{name}: {said}", file=self._terminal, flush=True)


def printer_for(log: Path, *, terminal: bool) -> Printer:
    """Return the printer: on a terminal a `Screen` with its log begun anew, else one of all."""
    if not terminal:
        return LastingPrinter(sys.stdout)
    file = _begun(log)
    print(f"==> starting; everything that the processes say goes into {file.name}", flush=True)
    return Screen(file)


def _begun(log: Path) -> TextIO:
    """Return a log begun anew; while another `make run` writes it, one beside it."""
    for number in itertools.count(1):
        path = log.with_stem(f"{log.stem}-{number}") if number > 1 else log
        file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        file.truncate(0)
        return file
    raise AssertionError("a number is free")
