"""When this machine paused: a thread that wakes ten times a second and notes when it woke late.

A virtual machine may stand still for seconds while its host is busy. A call under test then loses
sound, and a client its connection; this tells such a pause from a fault.
"""

import os
import threading
import time
from pathlib import Path

PERIOD_S = 0.1
PAUSE_S = 0.5  # a wake this late is a pause
STOLEN_MOST = 0.1  # of the processors' time, which the host gave to other machines
STAT = Path("/proc/stat")
STEAL = 8  # the column of STAT's first line


class MachinePauses:
    """Notes pauses and stolen processor time from `start` on. Times are those of `time.time`."""

    def __init__(self) -> None:
        self.pauses: list[tuple[float, float]] = []  # begin, end
        self._steals = [(time.time(), stolen_s())]

    def start(self) -> None:
        """Begin to watch, in a thread that ends with the process."""
        threading.Thread(target=self._watch, name="machine-pauses", daemon=True).start()

    def disturbed(self, begin: float, end: float) -> bool:
        """Return whether the machine paused, or was slow by its host, between two times."""
        paused = any(first < end and last > begin for first, last in self.pauses)
        return paused or self.stolen_share(begin, end) > STOLEN_MOST

    def stolen_share(self, begin: float, end: float) -> float:
        """Return the share of processor time that the host took between two times."""
        inside = [(at, stolen) for at, stolen in self._steals if begin - 2 <= at <= end + 2]
        if len(inside) < 2:
            return 0.0
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before) / ((last - first) * (os.cpu_count() or 1))

    def summary(self) -> str:
        """Return one sentence about the whole time."""
        share = self.stolen_share(self._steals[0][0], time.time())
        lengths = [end - begin for begin, end in self.pauses]
        return (
            f"the machine paused {len(lengths)} times, {sum(lengths):.1f} s in all and "
            f"{max(lengths, default=0.0):.1f} s at most; its host took {share:.1%} of its time"
        )

    def _watch(self) -> None:
        while True:
            begin = time.time()
            time.sleep(PERIOD_S)
            now = time.time()
            if now - begin > PERIOD_S + PAUSE_S:
                self.pauses.append((begin, now))
            if now - self._steals[-1][0] > 1.0:
                self._steals.append((now, stolen_s()))


def stolen_s() -> float:
    """Return the processor seconds that the host has taken since this machine started."""
    columns = STAT.read_text().split("\n", 1)[0].split() if STAT.exists() else []
    return int(columns[STEAL]) / os.sysconf("SC_CLK_TCK") if len(columns) > STEAL else 0.0
