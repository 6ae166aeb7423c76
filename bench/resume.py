"""Measure a session that goes on in another worker: its backup, its rebuilding, Mimi's beginning.

A session talks for `--minutes` in a step of its own; what it read is written as its backup. Another
step gets the backup. Printed: bytes of the backup per second, and in redis for a minute; the time
of the join and of the rebuilding in one long gap and its longest piece; and the share of the
person's codes, frame by frame, that a new Mimi gives as the old one would have.

    python -m bench.resume --arch pocket                      # on a CPU
    python -m bench.resume --arch moshi7b --random            # 7B in bf16 on CUDA

A table, then one line of JSON.
"""

import json
import time

import numpy as np

from bench import models
from bench.models import PERSONA
from bench.renewal import WHOLE_GAP_S, time_pieces
from worker.backup.chunk import BACKUP_FRAMES, CHUNK_FRAMES, write_chunk
from worker.engine.arrays import Pcm, Tokens
from worker.engine.model import Remembered
from worker.engine.step import MoshiStep

FRAME_S = 0.080
SEED = 7
AFTER_FRAMES = 25


def main() -> None:
    parser = models.options_of(__doc__)
    options, device = models.read(parser)
    lm, mimi = models.load(options, device, 2)
    step = MoshiStep(lm, mimi, 2, stored=models.stored(options, device))
    list(step.warm([]))
    step.join(0, PERSONA)
    sound = _sound(BACKUP_FRAMES + 1 + AFTER_FRAMES)
    read = _hear(step, 0, sound[: BACKUP_FRAMES + 1])
    columns = read[1:]  # as the backup: the first frame gives nothing out
    chunk = write_chunk(0, columns[:CHUNK_FRAMES], SEED, CHUNK_FRAMES, ())

    pieces_s = time_pieces(step.background)
    begun_s = time.perf_counter()
    step.join(1, PERSONA, Remembered(columns, SEED, len(read)))
    joined_s = time.perf_counter() - begun_s
    while step.work(WHOLE_GAP_S):
        pass
    took_s = time.perf_counter() - begun_s
    old = _hear(step, 0, sound[BACKUP_FRAMES + 1 :])
    new = _hear(step, 1, sound[BACKUP_FRAMES + 1 :])
    users = slice(1 + lm.dep_q, None)
    same = (old[1:, users] == new[1:, users]).mean(axis=1)  # of the second frame on
    result = {
        "backup_bytes_per_s": round(len(chunk) / CHUNK_FRAMES / FRAME_S),
        "frames": len(columns),
        "replayed": min(len(columns), step.renewal.keep_frames),
        "join_ms": round(joined_s * 1000, 1),
        "rebuilt_ms": round(took_s * 1000, 1),
        "longest_piece_ms": round(max(max(each) for each in pieces_s.values()) * 1000, 1),
        "codes_as_before": [round(float(each), 2) for each in same],
    }
    for name, value in result.items():
        print(f"{name:22} {value}")
    print(json.dumps({"bench": "resume", "arch": options.arch, "rows": result}))


def _sound(frames: int) -> Pcm:
    """Return speech-like noise, `[frames, 1920]`: three seconds loud, one silent."""
    noise = np.random.default_rng(0).normal(size=(frames, 1920)) * 0.1
    loud = (np.arange(frames) % 50 < 38)[:, None]
    return (noise * loud).astype(np.float32)


def _hear(step: MoshiStep, slot: int, frames: Pcm) -> Tokens:
    """Run frames through one slot; return the columns that it read, `[T, 1 + n_q]`."""
    running = np.arange(step.capacity) == slot
    read: list[Tokens] = []
    for frame in frames:
        step.run(np.broadcast_to(frame, (step.capacity, len(frame))), running)
        read.append(step.columns[slot].copy())
        step.work(FRAME_S / 2)
    return np.stack(read)


if __name__ == "__main__":
    main()
