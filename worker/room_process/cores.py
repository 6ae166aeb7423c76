"""How many cores this process may keep busy: what a container or a unit of systemd leaves it.

Python tells of the cores that a process may run on, and of no quota (`cpu.max` of version 2 of
control groups, `cpu.cfs_quota_us` of version 1). Pure but for the files that it reads.
"""

import math
import os
from pathlib import Path, PurePosixPath


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many whole cores there are for this process, at least one."""
    return max(1, math.floor(min(len(os.sched_getaffinity(0)), _quota(root))))


def _quota(root: Path) -> float:
    """Return the smallest quota of this process's groups, in cores; infinite where there is none.

    Each group is limited by those above it. In a container the topmost one is the container's own,
    although version 1 tells the path that the host knows.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # a kernel without control groups
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            own = PurePosixPath(path.lstrip("/"))
            quotas += [_quota_of(top / each) for each in (own, *own.parents)]
    return min(quotas)


def _quota_of(group: Path) -> float:
    try:
        if (both := group / "cpu.max").exists():
            quota, period = both.read_text().split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such group here; no quota: "max"
        return math.inf
