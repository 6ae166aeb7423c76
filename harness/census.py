"""Count threads, file descriptors and memory of the processes of a stack, with psutil."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import redis

from harness.stack import Stack

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """The resources of one process at a moment."""

    threads: int
    descriptors: int
    rss_mib: float


def held_by(pid: int) -> Held:
    """Count the resources of one process."""
    process = psutil.Process(pid)
    with process.oneshot():
        return Held(
            process.num_threads(), process.num_fds(), round(process.memory_info().rss / MIB, 1)
        )


def processes_of(stack: Stack) -> Mapping[str, int]:
    """Return the processes of a stack by name."""
    with redis.Redis.from_url(stack.redis_url) as client:
        about: Any = client.info("server")
    return {
        "worker": stack.worker_pid,
        "token_service": stack.service_pid,
        "livekit": stack.livekit.pid,
        "redis": int(about["process_id"]),
    }


def census(stack: Stack) -> dict[str, Held]:
    """Count the resources of each process of a stack."""
    return {name: held_by(pid) for name, pid in processes_of(stack).items()}


def rss_mib(stack: Stack) -> float:
    """Return the resident memory of all processes of a stack."""
    return sum(held.rss_mib for held in census(stack).values())
