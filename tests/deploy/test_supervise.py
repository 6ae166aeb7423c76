"""`deploy.launch.supervise` over real small commands: crashes, waiting, giving up, ending."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from harness.servers import free_port, gone, wait_until

CRASH = "import sys; open(sys.argv[1], 'a').write('run\\n'); sys.exit(7)"
STAY = "import sys, signal; open(sys.argv[1], 'a').write('run\\n'); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAY
CHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
    "'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)']); "
)
PARENT = CHILD + STAY
LINGERS = CHILD + (
    "import signal; log = open(sys.argv[1], 'a', buffering=1); "
    "signal.signal(15, lambda *_: log.write('told\\n')); log.write('run\\n')\n"
    "while True: signal.pause()"
)
FOUR_CRASHES = (
    "import sys, signal; log = open(sys.argv[1], 'a'); log.write('run\\n'); log.close(); "
    "signal.pause() if len(open(sys.argv[1]).readlines()) > 4 else sys.exit(1)"
)


@dataclass
class Kept:
    """A running supervisor, and the file in which its command writes a line per run."""

    process: subprocess.Popen[str]
    runs_file: Path

    def runs(self) -> int:
        """Return how often the command was started."""
        return self.wrote().count("run")

    def wrote(self) -> list[str]:
        """Return every line of the command so far."""
        return self.runs_file.read_text().split() if self.runs_file.exists() else []

    def wait_for_runs(self, number: int) -> None:
        """Wait until the command was started this often."""
        wait_until(lambda: self.runs() >= number, f"run {number} of the command")

    def finish(self) -> str:
        """Wait for the supervisor's end; return its output."""
        printed, _ = self.process.communicate(timeout=20)
        return printed

    def family(self) -> list[psutil.Process]:
        """Return all descendants of the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)


Keep = Callable[..., Kept]


@pytest.fixture
def keep(tmp_path: Path) -> Generator[Keep]:
    """Start a supervisor of a Python program."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *options: str, launcher: int | None = None) -> Kept:
        runs = tmp_path / "runs"
        command = [sys.executable, "-m", "deploy.launch.supervise", "--name", "child", *options]
        command += ["--launcher", str(launcher or os.getpid())]
        process = subprocess.Popen(
            [*command, "--", sys.executable, "-c", program, str(runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return Kept(process, runs)

    yield start
    for process in started:
        with process:  # closes its output, which a child left behind would hold open
            process.kill()


def test_gives_up_after_so_many_crashes_in_a_row(keep: Keep) -> None:
    """The last crash of a row ends the supervisor, with status 3."""
    kept = keep(CRASH, "--crashes", "3", "--first-wait-s", "0.01")
    kept.finish()

    assert (kept.runs(), kept.process.returncode) == (3, 3)


def test_says_why_it_gives_up(keep: Keep) -> None:
    """The last line names the command, how it ended and how often."""
    last = keep(CRASH, "--crashes", "2", "--first-wait-s", "0.01").finish().splitlines()[-1]

    assert last.startswith("child ended by itself (exit status 7) after ")
    assert last.endswith("; giving up after 2 crashes in a row")


def test_waits_twice_as_long_each_time(keep: Keep) -> None:
    """Waits between crashes double, up to the longest."""
    printed = keep(
        CRASH, "--crashes", "5", "--first-wait-s", "0.01", "--longest-wait-s", "0.04"
    ).finish()
    waits = [line.split("; again in ")[1].split(" s")[0] for line in printed.splitlines()[:-1]]

    assert waits == ["0.01", "0.02", "0.04", "0.04"]


def test_a_run_that_lasted_begins_a_new_row(keep: Keep) -> None:
    """Crashes after long runs never add up: here every run counts as long."""
    kept = keep(FOUR_CRASHES, "--crashes", "2", "--steady-s", "0", "--first-wait-s", "0.01")
    kept.wait_for_runs(5)

    assert kept.process.poll() is None


def test_names_the_signal_that_killed_the_command(keep: Keep) -> None:
    """A killed command is reported with the signal's name."""
    kept = keep("import os; os.kill(os.getpid(), 9)", "--crashes", "1")

    assert "(killed by SIGKILL)" in kept.finish()


def test_a_command_that_does_not_exist_is_a_crash(tmp_path: Path) -> None:
    """A missing program is reported by name."""
    command = [
        sys.executable,
        "-m",
        "deploy.launch.supervise",
        "--name",
        "x",
        "--launcher",
        str(os.getpid()),
    ]
    done = subprocess.run(
        [*command, "--crashes", "1", "--", str(tmp_path / "missing")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"{tmp_path / 'missing'}: No such file or directory\n" == done.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_keeper_and_command(keep: Keep, signum: signal.Signals) -> None:
    """On a signal it stops the command and ends with status 0."""
    kept = keep(STAY)
    kept.wait_for_runs(1)
    family = kept.family()
    kept.process.send_signal(signum)
    kept.finish()

    assert kept.process.returncode == 0
    assert gone(family)


def test_a_command_that_does_not_listen_is_killed(keep: Keep) -> None:
    """After the grace SIGTERM becomes SIGKILL."""
    kept = keep(STUBBORN, "--grace-s", "0.1")
    kept.wait_for_runs(1)
    family = kept.family()
    kept.process.terminate()
    kept.finish()

    assert gone(family)


def test_what_the_command_started_ends_with_it(keep: Keep) -> None:
    """Children of the command do not outlive it, even where they ignore SIGTERM."""
    kept = keep(PARENT)
    kept.wait_for_runs(1)
    family = kept.family()
    kept.process.terminate()
    kept.finish()

    assert len(family) == 2
    wait_until(lambda: gone(family), "the command's child is gone")


def test_ends_when_the_launcher_dies(keep: Keep) -> None:
    """The supervisor notices a killed launcher, sends SIGTERM and then SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as launcher:
        kept = keep(LINGERS, "--grace-s", "0.5", launcher=launcher.pid)
        kept.wait_for_runs(1)
        family = kept.family()
        launcher.kill()
    kept.finish()

    assert kept.process.returncode == 0
    assert kept.wrote() == ["run", "told"]
    assert len(family) == 2
    wait_until(lambda: gone(family), "the command and its child are gone")


def test_a_second_signal_does_not_break_the_ending_off(keep: Keep) -> None:
    """After a second signal while the command ends, no process stays either."""
    kept = keep(LINGERS, "--grace-s", "1")
    kept.wait_for_runs(1)
    family = kept.family()
    kept.process.terminate()
    wait_until(lambda: "told" in kept.wrote(), "the command was asked to end")
    kept.process.terminate()
    kept.finish()

    assert kept.process.returncode == 0
    wait_until(lambda: gone(family), "the command and its child are gone")


def test_a_killed_keeper_takes_the_command_with_it(keep: Keep) -> None:
    """When the supervisor is killed, the kernel kills the command."""
    kept = keep(STAY)
    kept.wait_for_runs(1)
    family = kept.family()
    kept.process.kill()

    wait_until(lambda: gone(family), "the command of a killed keeper is gone")


def test_starts_only_after_what_it_needs_answers(keep: Keep) -> None:
    """With `--after`, the command starts once a process listens there."""
    port = free_port()
    kept = keep(STAY, "--after", f"127.0.0.1:{port}")
    listen = (
        "import sys, socket; open(sys.argv[1], 'a').write('listener\\n'); "
        f"server = socket.create_server(('127.0.0.1', {port})); server.accept(); server.accept()"
    )
    with subprocess.Popen([sys.executable, "-c", listen, str(kept.runs_file)]) as listener:
        kept.wait_for_runs(1)
        listener.kill()

    assert kept.runs_file.read_text().split() == ["listener", "run"]


def test_outlives_those_who_need_it(keep: Keep) -> None:
    """With `--outlive`, the command stays until no process listens there any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = keep(STAY, "--outlive", f"127.0.0.1:{server.getsockname()[1]}")
        kept.wait_for_runs(1)
        [command] = kept.family()
        kept.process.terminate()
        for _ in range(2):  # it looks whether the server is still there
            server.accept()[0].close()

        assert command.is_running()
    kept.finish()

    assert gone([command])
