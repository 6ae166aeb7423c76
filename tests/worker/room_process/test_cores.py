"""The cores that a process may keep busy, by the files of control groups."""

import os
from pathlib import Path

import pytest

from worker.room_process.cores import usable_cores

CORES = 16
V1, V2 = "sys/fs/cgroup/cpu", "sys/fs/cgroup"
POD = "0::/kubepods/pod-1/worker\n"
OF_DOCKER = "5:cpu,cpuacct:/docker/4f2a\n1:cpuset:/\n0::/system.slice/docker.service\n"


@pytest.fixture(autouse=True)
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process run on sixteen cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


def written(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder; return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, CORES),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, CORES),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "350000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "20000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "6400000 100000\n"}, CORES),
        ({"proc/self/cgroup": POD}, CORES),
        ({"proc/self/cgroup": POD, f"{V2}/kubepods/pod-1/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": POD,
                f"{V2}/kubepods/pod-1/cpu.max": "200000 100000\n",
                f"{V2}/kubepods/pod-1/worker/cpu.max": "800000 100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": OF_DOCKER,
                f"{V1}/cpu.cfs_quota_us": "-1\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            CORES,
        ),
        (
            {
                "proc/self/cgroup": OF_DOCKER,
                f"{V1}/cpu.cfs_quota_us": "300000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": OF_DOCKER,
                f"{V1}/docker/4f2a/cpu.cfs_quota_us": "100000\n",
                f"{V1}/docker/4f2a/cpu.cfs_period_us": "50000\n",
            },
            2,
        ),
    ],
)
def test_a_quota_limits_the_cores(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    """The smallest quota of a process's groups counts, in whole cores, of either version."""
    assert usable_cores(written(tmp_path, files)) == cores


def test_the_cores_that_a_process_may_run_on_limit_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is bound to two cores has no more of a quota of four."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    files = {"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "400000 100000\n"}

    assert usable_cores(written(tmp_path, files)) == 2
