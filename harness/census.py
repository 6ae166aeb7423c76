"""What the processes of a stack hold: threads, file descriptors, memory. Reads /proc by psutil."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import redis

from harness.stack import Stack

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds at a moment."""

    threads: int
    descriptors: int
    rss_mib: float


def held_by(pid: int) -> Held:
    """Count one process."""
    process = psutil.Process(pid)
    with process.oneshot():
        return Held(
            process.num_threads(), process.num_fds(), round(process.memory_info().rss / MIB, 1)
        )


def processes_of(stack: Stack) -> Mapping[str, int]:
    """The processes that serve rooms, by name."""
    with redis.Redis.from_url(stack.redis_url) as client:
        about: Any = client.info("server")
    return {
        "worker": stack.worker_pid,
        "token_service": stack.service_pid,
        "livekit": stack.livekit.pid,
        "redis": int(about["process_id"]),
    }


def census(stack: Stack) -> dict[str, Held]:
    """Count each process of a stack."""
    return {name: held_by(pid) for name, pid in processes_of(stack).items()}


def rss_mib(stack: Stack) -> float:
    """Resident memory of all of them together."""
    return sum(held.rss_mib for held in census(stack).values())
