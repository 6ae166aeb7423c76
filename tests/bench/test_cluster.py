"""`bench.cluster` at its smallest: real servers, three workers, some rooms."""

import json
import subprocess
import sys

SMALLEST = ["--workers", "3", "--before", "6", "--many", "3", "--rooms", "3", "--seconds", "0.5"]


def test_every_room_gets_a_host() -> None:
    """Each row opens its rooms without failures, and the last line is the table as JSON."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.cluster", *SMALLEST], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    table, _, last = ran.stdout.rstrip().rpartition("\n")
    real, simulated = json.loads(last)["rows"]

    assert "join to host p50 ms" in table
    assert (real["LiveKit"], real["rooms before"]) == ("real", 0)
    assert (simulated["LiveKit"], simulated["rooms before"]) == ("simulated", 6)
    for row in (real, simulated):
        assert (row["opened"], row["failures"]) == (3, [])
        assert row["opening"]["by command"]["mget"] > 0
        assert set(row["opening"]["% of a core"]) >= {"token service", "redis", "bench"}
