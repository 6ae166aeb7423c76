"""`make run`: start everything on this machine under one log, until Ctrl-C.

Honcho reads and stops the processes; `deploy.launch.supervise` restarts each of them.
"""

import io
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress

import honcho.manager
import honcho.process
import yaml
from honcho.printer import Printer

from deploy import livekit_config
from deploy.installers import PROJECT, ProgramMissing
from deploy.lan import local_network
from deploy.launch import die_with_parent
from deploy.launch.plan import Plan, Process, make_plan
from deploy.launch.ports import taken
from deploy.launch.screen import ANNOUNCER, printer_for
from deploy.private_file import write_privately
from protocol.config.addresses import netloc
from protocol.config.command_line import refuse_arguments
from protocol.config.log import configure_logging
from protocol.config.settings import load_settings
from protocol.errors import InvalidInput

FOLDER = PROJECT / "var"
BY_CTRL_C = 128 + signal.SIGINT
KILL_AFTER_S = 30  # longer than all waits of `deploy.launch.supervise`, which kills by itself


class TiedProcess(honcho.process.Process):
    """Honcho's reader of one process, which dies with the launcher."""

    def run(self, events: object = None, ignore_signals: bool = False) -> None:
        """Run in a fork of the launcher."""
        die_with_parent.tie_to(os.getppid())
        super().run(events, ignore_signals)


class Manager(honcho.manager.Manager):
    """Honcho's manager with tied readers."""

    def __init__(self, printer: Printer | None = None) -> None:
        super().__init__(printer)
        self._process_ctor = TiedProcess


def main() -> int:
    """Start, show and stop everything; return the exit status."""
    refuse_arguments("make run", "Start everything on this machine, until Ctrl-C.")
    try:
        return _start(terminal=sys.stdout.isatty())
    except (InvalidInput, ProgramMissing) as error:
        return _refuse([str(error)])
    except OSError as error:
        where = error.filename or FOLDER
        expected = "expected free space, and a folder that this user may write"
        return _refuse([f"{where}: {error.strerror}; {expected}"])


def _start(*, terminal: bool) -> int:
    FOLDER.mkdir(exist_ok=True)
    settings = load_settings()
    if terminal and settings.log_format == "auto":  # the log's file is no terminal
        settings = settings.model_copy(update={"log_format": "console"})
    early = io.StringIO()  # the log, until the start is not refused any more
    with redirect_stderr(early):
        configure_logging(settings)
    plan = make_plan(os.environ, FOLDER, terminal=terminal)
    if faults := taken(plan.ports):
        return _refuse(faults)
    printer = printer_for(FOLDER / "run.log", terminal=terminal)
    log = printer.output if terminal else sys.stderr
    log.write(early.getvalue())
    with redirect_stderr(log):  # for the log's lifetime
        configure_logging(settings)
    if (config := plan.livekit_config) is not None:
        write_privately(livekit_config.file_in(FOLDER, config["port"]), yaml.safe_dump(config))
    fingerprint = ""
    if plan.lan is not None:  # imports `cryptography`, which no other start needs
        from deploy.lan.welcome import write_welcome

        fingerprint = write_welcome(plan.lan, FOLDER)
    for used in plan.used:
        print(f"==> using {used}", flush=True)
    return supervise(plan.processes, announcer(plan, fingerprint), printer=printer)


def supervise(
    processes: Sequence[Process],
    announcer: Sequence[str],
    options: Sequence[str] = (),
    printer: Printer | None = None,
) -> int:
    """Run all processes until one gives up or a signal comes; return the exit status.

    Ctrl-C is how a run ends: its status is 0, or make would tell of an error.
    `options` are passed to `deploy.launch.supervise`; `printer` writes the processes' output.
    """
    honcho.manager.KILL_WAIT = KILL_AFTER_S
    manager = Manager(printer)
    for process in processes:
        command = f"exec {shlex.join(_supervised(process, options))}"
        manager.add_process(process.name, command, env=process.environment)
    manager.add_process(ANNOUNCER, _tied(announcer), env=dict(os.environ))
    try:
        manager.loop()
    except BaseException:  # whatever it was, no process may stay
        with suppress(OSError):  # the terminal may be gone, or what `make run` is piped into
            traceback.print_exc()
        os._exit(1)  # the kernel and `deploy.launch.supervise` end the processes
    ended = int(manager.returncode or 0)
    return 0 if ended == BY_CTRL_C else ended


def announcer(plan: Plan, fingerprint: str) -> list[str]:
    """Return the command that reports the progress of the start and the address."""
    settings = plan.settings
    host, worker_host = (
        "127.0.0.1" if each in local_network.EVERYWHERE else each
        for each in (settings.host, settings.worker_host)
    )
    command = [sys.executable, "-m", "deploy.launch.announce", "--address", plan.address]
    command += ["--ready-url", f"http://{netloc(host, settings.port)}/ready"]
    command += ["--worker-url", f"http://{netloc(worker_host, settings.worker_port)}/"]
    if plan.lan is not None:
        command += ["--welcome", plan.lan.welcome, "--fingerprint", fingerprint]
        command += ["--auth-mode", ",".join(settings.auth_mode)]
    return command


def _refuse(faults: list[str]) -> int:
    for fault in faults:
        print(f"==> {fault}", file=sys.stderr, flush=True)
    return 1


def _supervised(process: Process, options: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "deploy.launch.supervise", "--name", process.name]
    command += ["--launcher", str(os.getpid())]
    for address in process.after:
        command += ["--after", address]
    for address in process.outlive:
        command += ["--outlive", address]
    return [*command, *options, "--", *process.command]


def _tied(command: Sequence[str]) -> str:
    """Return a shell line whose command dies with honcho's reader of it, which is `$PPID`."""
    wrapper = [sys.executable, "-I", "-S", die_with_parent.__file__]
    return f"exec {shlex.join(wrapper)} $PPID {shlex.join(command)}"


if __name__ == "__main__":
    sys.exit(main())
