"""Count threads, file descriptors and memory of the processes of a stack, with psutil."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil
import redis

from harness.stack import Stack, room_processes, worker_processes

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """The resources of one process at a moment."""

    threads: int
    descriptors: int
    rss_mib: float


@dataclass(frozen=True, slots=True)
class RedisHeld:
    """What redis keeps at a moment. Keys without an end are those that could grow for ever."""

    keys: int
    endless: dict[str, int]  # bytes of each key without an end
    used_mib: float


def held_by_redis(stack: Stack) -> RedisHeld:
    """Count the keys of a stack's redis, and the memory that it uses for data."""
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        found: Any = list(client.scan_iter())
        endless: Any = {key: client.memory_usage(key) for key in found if client.ttl(key) == -1}
        about: Any = client.info("memory")
    return RedisHeld(len(found), endless, round(about["used_memory_dataset"] / MIB, 2))


def held_by(pid: int) -> Held:
    """Count the resources of one process."""
    process = psutil.Process(pid)
    with process.oneshot():
        return Held(
            process.num_threads(), process.num_fds(), round(process.memory_info().rss / MIB, 1)
        )


def held_by_worker(stack: Stack) -> Held:
    """Count the resources of a worker: those of its main process and of its rooms' together.

    Connections to redis do not count: a pool keeps as many as were ever used at once.
    """
    processes = worker_processes(stack.worker_pid)
    held = [held_by(each.pid) for each in processes]
    redis_port = urlsplit(stack.redis_url).port
    return Held(
        sum(each.threads for each in held),
        sum(each.descriptors for each in held)
        - sum(connections(each, redis_port) for each in processes),
        round(sum(each.rss_mib for each in held), 1),
    )


def connections(process: psutil.Process, port: int | None) -> int:
    """Count a process's connections to a port."""
    remote = [each.raddr for each in process.net_connections("tcp") if each.raddr]
    return sum(each.port == port for each in remote)


def processes_of(stack: Stack) -> Mapping[str, int]:
    """Return the processes of a stack by name, those of rooms and Whisper's where it runs."""
    with redis.Redis.from_url(stack.redis_url) as client:
        about: Any = client.info("server")
    rooms = {each.pid for each in room_processes(stack.worker_pid)}
    hearing = {each.pid for each in psutil.Process(stack.worker_pid).children()} - rooms
    found = {
        "worker": stack.worker_pid,
        "token_service": stack.service_pid,
        "livekit": stack.livekit.pid,
        "redis": int(about["process_id"]),
    }
    found |= {f"rooms {number}": pid for number, pid in enumerate(sorted(rooms))}
    return found | ({"hearing": hearing.pop()} if hearing else {})


def census(stack: Stack) -> dict[str, Held]:
    """Count the resources of each process of a stack."""
    return {name: held_by(pid) for name, pid in processes_of(stack).items()}


def rss_mib(stack: Stack) -> float:
    """Return the resident memory of all processes of a stack."""
    return sum(held.rss_mib for held in census(stack).values())
