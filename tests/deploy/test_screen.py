"""The terminal of `make run`: steps, the address and troubles; the log file has every line."""

import errno
import io
import os
from datetime import datetime
from pathlib import Path

import pytest
from honcho.printer import Message

from deploy.launch.screen import ANNOUNCER, LastingPrinter, Screen, printer_for

AT = datetime(2026, 11, 29, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "said", "shown"),
    [
        (ANNOUNCER, b"the worker starts (0 s)\n", "the worker starts (0 s)\n"),
        ("worker", b"01:02:03 [info     ] job_taken\n", ""),
        ("worker", b"01:02 [\x1b[33mwarning  \x1b[0m] late\n", "worker: 01:02 [warning  ] late\n"),
        (
            "redis",
            "exit status 1; giving up after 5 crashes in a row",
            "redis: exit status 1; giving up after 5 crashes in a row\n",
        ),
        ("system", "worker started (pid=7)\n", ""),
        ("livekit", b"a\nb \xff\n", ""),
    ],
)
def test_a_terminal_shows_steps_and_troubles(name: str, said: str | bytes, shown: str) -> None:
    """The terminal shows steps and troubles; the log has every line, without colours."""
    log, terminal = io.StringIO(), io.StringIO()
    Screen(log, terminal).write(Message("line", said, AT, name, None))
    written = log.getvalue()

    assert terminal.getvalue() == shown
    assert "\x1b" not in written
    assert all(line.startswith(f"01:02:03 {name} | ") for line in written.splitlines())
    assert written.count("\n") == max(1, said.count(b"\n" if isinstance(said, bytes) else "\n"))


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ("worker: MODEL='no': no such folder", "worker: MODEL='no': no such folder\n"),
        ("01:02:03 [info     ] job_taken", ""),
        ("01:02:03 [error    ] engine_failed", ""),  # shown as it came
    ],
)
def test_a_terminal_shows_why_a_process_ended(last: str, shown: str) -> None:
    """The last line of a process that ended by itself comes before the line that it did, once."""
    terminal = io.StringIO()
    screen = Screen(io.StringIO(), terminal)
    ended = "worker ended by itself (exit status 1) after 1.0 s; again in 0.5 s"
    screen.write(Message("line", last, AT, "worker", None))
    screen.write(Message("line", "x", AT, "redis", None))
    terminal.truncate(0)
    terminal.seek(0)
    for _ in range(2):
        screen.write(Message("line", ended, AT, "worker", None))

    assert terminal.getvalue() == f"{shown}worker: {ended}\nworker: {ended}\n"


def test_without_a_terminal_everything_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal every line is on stdout, and there is no file."""
    printer = printer_for(tmp_path / "run.log", terminal=False)
    printer.output = io.StringIO()
    printer.write(Message("line", "worker started\n", AT, "system", None))

    assert printer.output.getvalue().endswith("worker started\n")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_a_terminal_is_told_where_the_log_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal names the log file, in which the last run's lines are gone."""
    log = tmp_path / "run.log"
    log.write_text("of yesterday\n")
    printer = printer_for(log, terminal=True)
    printer.write(Message("line", "worker started\n", AT, "system", None))
    printer.output.close()

    assert str(log) in capsys.readouterr().out
    assert log.read_text() == "01:02:03 system | worker started\n"


class FullDisk(io.StringIO):
    """A log on a full disk."""

    def write(self, _: str, /) -> int:
        """Fail as the kernel does."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("printer", [LastingPrinter(FullDisk()), Screen(FullDisk(), io.StringIO())])
def test_a_log_on_a_full_disk_ends_nothing(
    printer: LastingPrinter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the disk of the log is full, lines are lost and calls go on; it is said once."""
    for _ in range(3):
        printer.write(Message("line", "of a call\n", AT, "worker", None))

    assert capsys.readouterr().err.count("the log cannot be written: No space left on device") == 1


def test_a_log_that_nobody_reads_ends_the_run() -> None:
    """Where the reader of the lines is gone, as of `make run | head`, the error is not hidden."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=0) as raw:
        printer = LastingPrinter(io.TextIOWrapper(raw, write_through=True))
        with pytest.raises(BrokenPipeError):
            printer.write(Message("line", "of a call\n", AT, "worker", None))


def test_a_second_run_leaves_the_log_of_the_first(tmp_path: Path) -> None:
    """A second `make run` on a terminal writes beside the log of one that still runs."""
    first = printer_for(tmp_path / "run.log", terminal=True)
    first.write(Message("line", "of the first\n", AT, "worker", None))
    second = printer_for(tmp_path / "run.log", terminal=True)
    second.write(Message("line", "of the second\n", AT, "worker", None))
    first.output.close()
    second.output.close()

    assert (tmp_path / "run.log").read_text() == "01:02:03 worker | of the first\n"
    assert (tmp_path / "run-2.log").read_text() == "01:02:03 worker | of the second\n"
