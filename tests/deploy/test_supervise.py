"""`deploy.launch.supervise` with real small commands: crashes, waiting, giving up, ending."""

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
REFUSES = CRASH.replace("sys.exit(7)", "sys.exit(78)")  # os.EX_CONFIG
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
class Supervisor:
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


Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise(tmp_path: Path) -> Generator[Supervise]:
    """Return a function that starts a supervisor of a Python program."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *options: str, launcher: int | None = None) -> Supervisor:
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
        return Supervisor(process, runs)

    yield start
    for process in started:
        with process:  # closes its output, which a child left behind would hold open
            process.kill()


def test_gives_up_after_so_many_crashes_in_a_row(supervise: Supervise) -> None:
    """The last of `--crashes` crashes in a row ends the supervisor with status 3; it says why."""
    supervisor = supervise(CRASH, "--crashes", "3", "--first-wait-s", "0.01")
    last = supervisor.finish().splitlines()[-1]

    assert (supervisor.runs(), supervisor.process.returncode) == (3, 3)
    assert last.startswith("child ended by itself (exit status 7) after ")
    assert last.endswith("; giving up after 3 crashes in a row")


@pytest.mark.parametrize("steady_s", ["30", "0"])
def test_a_refused_configuration_is_not_tried_again(supervise: Supervise, steady_s: str) -> None:
    """A command that refuses its configuration, soon or late, ends the supervisor."""
    supervisor = supervise(REFUSES, "--first-wait-s", "0.01", "--steady-s", steady_s)
    [told] = supervisor.finish().splitlines()

    assert (supervisor.runs(), supervisor.process.returncode) == (1, 3)
    assert told.startswith("child ended by itself (exit status 78) after ")
    assert told.endswith("; giving up, as it cannot run as it is configured")


def test_waits_twice_as_long_each_time(supervise: Supervise) -> None:
    """Waits between crashes double, up to the longest."""
    printed = supervise(
        CRASH, "--crashes", "5", "--first-wait-s", "0.01", "--longest-wait-s", "0.04"
    ).finish()
    waits = [line.split("; again in ")[1].split(" s")[0] for line in printed.splitlines()[:-1]]

    assert waits == ["0.01", "0.02", "0.04", "0.04"]


def test_a_run_that_lasted_begins_a_new_row(supervise: Supervise) -> None:
    """A run that lasted `--steady-s` begins a new row of crashes."""
    supervisor = supervise(
        FOUR_CRASHES, "--crashes", "2", "--steady-s", "0", "--first-wait-s", "0.01"
    )
    supervisor.wait_for_runs(5)

    assert supervisor.process.poll() is None


def test_names_the_signal_that_killed_the_command(supervise: Supervise) -> None:
    """A killed command is reported with the signal's name."""
    supervisor = supervise("import os; os.kill(os.getpid(), 9)", "--crashes", "1")

    assert "(killed by SIGKILL)" in supervisor.finish()


def test_a_command_that_does_not_exist_is_a_crash(tmp_path: Path) -> None:
    """A program that does not exist is reported by its path."""
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
def test_a_signal_ends_supervisor_and_command(supervise: Supervise, signum: signal.Signals) -> None:
    """A signal ends the command and the supervisor, with status 0."""
    supervisor = supervise(STAY)
    supervisor.wait_for_runs(1)
    family = supervisor.family()
    supervisor.process.send_signal(signum)
    supervisor.finish()

    assert supervisor.process.returncode == 0
    assert gone(family)


def test_a_command_that_does_not_listen_is_killed(supervise: Supervise) -> None:
    """A command that ignores SIGTERM is killed after the grace."""
    supervisor = supervise(STUBBORN, "--grace-s", "0.1")
    supervisor.wait_for_runs(1)
    family = supervisor.family()
    supervisor.process.terminate()
    supervisor.finish()

    assert gone(family)


def test_a_commands_child_ends_with_it(supervise: Supervise) -> None:
    """A command's child ends with it, even if it ignores SIGTERM."""
    supervisor = supervise(PARENT)
    supervisor.wait_for_runs(1)
    family = supervisor.family()
    supervisor.process.terminate()
    supervisor.finish()

    assert len(family) == 2
    wait_until(lambda: gone(family), "the command's child is gone")


def test_ends_when_the_launcher_dies(supervise: Supervise) -> None:
    """When the launcher is killed, the supervisor sends SIGTERM and then SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as launcher:
        supervisor = supervise(LINGERS, "--grace-s", "0.5", launcher=launcher.pid)
        supervisor.wait_for_runs(1)
        family = supervisor.family()
        launcher.kill()
    supervisor.finish()

    assert supervisor.process.returncode == 0
    assert supervisor.wrote() == ["run", "told"]
    assert len(family) == 2
    wait_until(lambda: gone(family), "the command and its child are gone")


def test_a_second_signal_leaves_no_process(supervise: Supervise) -> None:
    """A second signal while the command ends leaves no process either."""
    supervisor = supervise(LINGERS, "--grace-s", "1")
    supervisor.wait_for_runs(1)
    family = supervisor.family()
    supervisor.process.terminate()
    wait_until(lambda: "told" in supervisor.wrote(), "the command was asked to end")
    supervisor.process.terminate()
    supervisor.finish()

    assert supervisor.process.returncode == 0
    wait_until(lambda: gone(family), "the command and its child are gone")


def test_a_killed_supervisors_command_is_killed(supervise: Supervise) -> None:
    """When the supervisor is killed, the command is killed."""
    supervisor = supervise(STAY)
    supervisor.wait_for_runs(1)
    family = supervisor.family()
    supervisor.process.kill()

    wait_until(lambda: gone(family), "the command of a killed supervisor is gone")


def test_starts_only_after_what_it_needs_answers(supervise: Supervise) -> None:
    """With `--after` the command starts once a process listens there."""
    port = free_port()
    supervisor = supervise(STAY, "--after", f"127.0.0.1:{port}")
    listen = (
        "import sys, socket; open(sys.argv[1], 'a').write('listener\\n'); "
        f"server = socket.create_server(('127.0.0.1', {port})); server.accept(); server.accept()"
    )
    with subprocess.Popen([sys.executable, "-c", listen, str(supervisor.runs_file)]) as listener:
        supervisor.wait_for_runs(1)
        listener.kill()

    assert supervisor.runs_file.read_text().split() == ["listener", "run"]


def test_outlives_processes_that_need_it(supervise: Supervise) -> None:
    """With `--outlive` the command stays until no process listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        supervisor = supervise(STAY, "--outlive", f"127.0.0.1:{server.getsockname()[1]}")
        supervisor.wait_for_runs(1)
        [command] = supervisor.family()
        supervisor.process.terminate()
        for _ in range(2):  # the supervisor looks whether the server is still there
            server.accept()[0].close()

        assert command.is_running()
    supervisor.finish()

    assert gone([command])


def test_a_command_that_ends_while_it_is_to_outlive_others_is_not_started_again(
    supervise: Supervise,
) -> None:
    """Once told to end, a supervisor whose command dies early ends, with the command's child."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        supervisor = supervise(PARENT, "--outlive", f"127.0.0.1:{server.getsockname()[1]}")
        supervisor.wait_for_runs(1)
        command, child = supervisor.family()
        supervisor.process.terminate()
        server.accept()[0].close()
        command.kill()
        wait_until(lambda: gone([command]), "the command is gone")
    supervisor.finish()

    assert (supervisor.process.returncode, supervisor.runs()) == (0, 1)
    wait_until(lambda: gone([child]), "the command's child is gone")
