"""The standard library's watchdog over the engine's thread. Knows nothing of what it watches."""

import faulthandler
from collections.abc import Generator
from contextlib import contextmanager

HANGS_S = 20.0  # a step, with its joins and its gap, that takes this long never ends


@contextmanager
def watched() -> Generator[None]:
    """End the process, and show where every thread stood, if this takes longer than `HANGS_S`.

    Also where the engine hangs in native code and holds the interpreter lock.
    """
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
