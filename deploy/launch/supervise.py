"""Keep one command running: restart it after a crash, later each time, and give up at last.

A command that refuses its configuration is not tried again, though it may have read for minutes.

`python -m deploy.launch.supervise --name worker --launcher 4711 -- python -m worker`. Honcho shows
the output of all commands but restarts none. One supervisor per command, in a process of its own:
it survives a launcher that is killed, and then ends the command with everything it started.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, fields

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from deploy.launch.die_with_parent import tethered

GAVE_UP = 3  # exit status
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """Which runs count as crashes, and how long to wait."""

    crashes: int = 5  # in a row, then the supervisor gives up
    steady_s: float = 30.0  # a run of this length or longer resets the count
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    grace_s: float = 8.0  # between SIGTERM and SIGKILL
    outlive_s: float = 16.0  # the longest wait for the processes that need the command


class Crashed(RuntimeError):
    """The command ended by itself; the text says how."""


class Refused(RuntimeError):
    """The command cannot run as it is configured; the text says how it ended."""


class Supervisor:
    """Runs one command again and again."""

    def __init__(
        self, name: str, command: list[str], limits: RestartLimits, outlive: list[str]
    ) -> None:
        """`outlive`: addresses of processes that need the command until they have ended."""
        self._name, self._command, self._outlive = name, command, outlive
        self.limits = limits

    async def keep(self, after: list[str]) -> None:
        """Wait for the addresses in `after`, then run the command until cancelled.

        Raises `Crashed` with the last reason after too many crashes in a row, and `Refused`.
        """
        limits = self.limits
        for address in after:
            await listening(address, wanted=True)
        while True:
            async for attempt in AsyncRetrying(
                sleep=asyncio.sleep,
                retry=retry_if_exception_type(Crashed),
                stop=stop_after_attempt(limits.crashes),
                wait=wait_exponential(limits.first_wait_s, max=limits.longest_wait_s),
                before_sleep=self._report_crash,
                reraise=True,
            ):
                with attempt:
                    await self._run_once()

    async def _run_once(self) -> None:
        """Run the command once. Raises `Refused`, or `Crashed` if it ended before `steady_s`."""
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *tethered(self._command), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        try:
            status = await process.wait()
        finally:
            await self._end(process)
        lasted_s = time.monotonic() - started
        ending = f"{self._name} ended by itself ({_reason(status)}) after {lasted_s:.1f} s"
        if status == os.EX_CONFIG:  # a large model is refused after a long load, too
            raise Refused(ending)
        if lasted_s < self.limits.steady_s:
            raise Crashed(ending)
        _print(f"{ending}; restarting it")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Send SIGTERM, wait, then kill the command and the rest of its process group."""
        if process.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.outlive_s):
                    for address in self._outlive:
                        await listening(address, wanted=False)
            with suppress(ProcessLookupError):  # it ended meanwhile
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.limits.grace_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    def _report_crash(self, state: RetryCallState) -> None:
        wait_s = state.next_action.sleep if state.next_action else 0.0
        reason = state.outcome.exception() if state.outcome else None
        _print(
            f"{reason}; again in {wait_s:g} s "
            f"(crash {state.attempt_number} of at most {self.limits.crashes} in a row)"
        )


async def listening(address: str, *, wanted: bool) -> None:
    """Wait until a process listens on `host:port`, or until none does."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=1.0):
                listens = True
        except OSError:
            listens = False
        if listens == wanted:
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def run(supervisor: Supervisor, after: list[str], launcher: int) -> int:
    """Keep the command until SIGTERM, SIGINT or the launcher's death; return the exit status."""
    loop = asyncio.get_running_loop()
    keeping = asyncio.create_task(supervisor.keep(after), name="keeping")

    def stop() -> None:
        if not keeping.cancelling():  # a second cancel would interrupt the orderly end
            keeping.cancel()

    def stop_alone(launcher_fd: int) -> None:
        loop.remove_reader(launcher_fd)  # it stays readable and would call again and again
        stop()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    try:
        launcher_fd = os.pidfd_open(launcher)
        loop.add_reader(launcher_fd, stop_alone, launcher_fd)
    except ProcessLookupError:  # dead already
        stop()
    try:
        await keeping
    except asyncio.CancelledError:
        return 0
    except Crashed as error:
        _print(f"{error}; giving up after {supervisor.limits.crashes} crashes in a row")
    except Refused as error:
        _print(f"{error}; giving up, as it cannot run as it is configured")
    return GAVE_UP


def _reason(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _print(text: str) -> None:
    with suppress(BrokenPipeError):  # the launcher is dead and reads no more
        print(text, flush=True)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="supervise", description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--launcher", type=int, required=True, help="end when this process ends")
    parser.add_argument("--after", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--outlive", action="append", default=[], metavar="HOST:PORT")
    for limit in fields(RestartLimits):
        name = f"--{limit.name.replace('_', '-')}"
        parser.add_argument(name, type=type(limit.default), default=limit.default)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    limits = RestartLimits(
        **{limit.name: getattr(given, limit.name) for limit in fields(RestartLimits)}
    )
    supervisor = Supervisor(given.name, given.command, limits, given.outlive)
    return asyncio.run(run(supervisor, given.after, given.launcher))


if __name__ == "__main__":
    sys.exit(main())
