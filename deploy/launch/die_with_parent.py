"""Run another command that the kernel kills when its parent dies, however the parent dies.

Linux only: PR_SET_PDEATHSIG survives exec. A wrapper and not `preexec_fn`, which may deadlock in a
parent with threads. Standard library only, so that it starts at once. The signal follows the
parent's *thread*: start tethered commands from a thread that does not end.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command`, killed when the calling process dies."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def tie_to(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies; exit if it is dead already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died before the call
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Run `<parent pid> <command> …`."""
    parent, *command = arguments
    tie_to(int(parent))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
