"""What a run costs: commands of redis, CPU of processes, and how long requests take."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import redis

SHOWN = 8  # commands of redis in a row


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment."""

    at_s: float
    commands: dict[str, int]
    redis_bytes: int  # sent by redis
    cpu_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Span:
    """What was counted between two readings."""

    before: Reading
    after: Reading

    @property
    def seconds(self) -> float:
        return self.after.at_s - self.before.at_s

    @property
    def commands(self) -> dict[str, int]:
        """Return redis' commands by name, the most frequent first."""
        old, new = self.before.commands, self.after.commands
        made = {name: calls - old.get(name, 0) for name, calls in new.items()}
        return dict(sorted(made.items(), key=lambda each: -each[1]))

    @property
    def cpu_share(self) -> dict[str, float]:
        """Return how much of a core each process took."""
        return {name: self._cpu_s(name) / self.seconds for name in self.after.cpu_s}

    def _cpu_s(self, process: str) -> float:
        return self.after.cpu_s[process] - self.before.cpu_s[process]

    def commands_beyond(self, other: "Span", shares: int) -> float:
        """Return the commands beyond those of `other` in the same time, divided by `shares`."""
        usual = sum(other.commands.values()) / other.seconds * self.seconds
        return (sum(self.commands.values()) - usual) / max(shares, 1)

    def cpu_ms(self, process: str, shares: int) -> float:
        """Return a process' CPU time, divided by `shares`."""
        return self._cpu_s(process) * 1000 / max(shares, 1)

    def shown(self) -> dict[str, Any]:
        """Return all figures, a second each."""
        most = list(self.commands.items())[:SHOWN]
        sent = self.after.redis_bytes - self.before.redis_bytes
        return {
            "seconds": round(self.seconds, 1),
            "redis commands/s": round(sum(self.commands.values()) / self.seconds),
            "by command": {name: round(calls / self.seconds, 1) for name, calls in most if calls},
            "redis MB/s": round(sent / self.seconds / 1e6, 2),
            "% of a core": {name: round(used * 100, 1) for name, used in self.cpu_share.items()},
        }


class Meters:
    """Reads the counters of redis and of processes."""

    def __init__(self, redis_url: str, pids: dict[str, int]) -> None:
        """Count redis too, beside the processes of `pids`."""
        self._redis = redis.Redis.from_url(redis_url, decode_responses=True)
        pids = pids | {"redis": self._info("server")["process_id"]}
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}

    def read(self) -> Reading:
        """Return all counters now."""
        calls = {
            name.removeprefix("cmdstat_"): each["calls"]
            for name, each in self._info("commandstats").items()
        }
        sent = self._info("stats")["total_net_output_bytes"]
        cpu_s = {name: sum(each.cpu_times()[:2]) for name, each in self._processes.items()}
        return Reading(time.monotonic(), calls, sent, cpu_s)

    def rss_mib(self) -> dict[str, int]:
        """Return the resident memory of each process."""
        return {name: each.memory_info().rss >> 20 for name, each in self._processes.items()}

    def _info(self, section: str) -> dict[str, Any]:
        return self._redis.info(section)


def quantile_ms(seconds: list[float], percent: int) -> int | None:
    """Return a percentile; None of nothing."""
    return round(float(np.percentile(seconds, percent)) * 1000) if seconds else None
