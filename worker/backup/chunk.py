"""The backup of a persona: a list in redis of chunks, each of about a second of columns. Pure.

A chunk is a line of JSON, then the tokens. The last chunk has the lines that were still to say.
Redis may lose one, or take it twice where its answer was late; the chunks' numbers tell.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from protocol.heartbeat import MEMORY_FORMAT
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.engine.arrays import Tokens
from worker.engine.model import Remembered

BACKUP_KEY = "moshi:backup:{room}:{generation}:{persona}"
BACKUP_TTL_S = 300  # after the last chunk
CHUNK_FRAMES = 13  # 1.04 s
BACKUP_FRAMES = 754  # 60.3 s
CHUNKS_KEPT = BACKUP_FRAMES // CHUNK_FRAMES
EARLIER_HOSTS = 8  # dispatches that may have failed since a host wrote

Lines = tuple[tuple[str, str], ...]  # id and text of each line that is not said yet


class ChunkHead(BaseModel):
    """The first line of a chunk."""

    model_config = ConfigDict(frozen=True)

    format: int = 1  # of a chunk that names none
    number: int  # of chunks before it, since the backup began
    streams: int = Field(ge=1)  # tokens of a column
    type: Literal["<i2", "<i4"]  # of a token, as numpy names it
    seed: int
    draws: int  # after the last column
    lines: Lines = ()


def backup_keys(spec: RoomSpec, persona: PersonaSpec, model: str) -> tuple[str, ...]:
    """Return the redis keys of a persona's backup: this host's, then those of earlier hosts.

    They differ where prompt, voice or model do: tokens mean something to one prompt state alone.
    """
    identity = json.dumps([spec.session, persona.id, persona.prompt, persona.voice, model])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    oldest = max(0, spec.generation - EARLIER_HOSTS)
    return tuple(
        BACKUP_KEY.format(room=spec.room, generation=generation, persona=digest)
        for generation in range(spec.generation, oldest, -1)
    )


def write_chunk(number: int, columns: Tokens, seed: int, draws: int, lines: Lines) -> bytes:
    """Return a chunk of columns `[T, streams]`."""
    is_small = np.abs(columns).max(initial=0) <= np.iinfo(np.int16).max
    head = ChunkHead(
        format=MEMORY_FORMAT,
        number=number,
        streams=columns.shape[1],
        type="<i2" if is_small else "<i4",
        seed=seed,
        draws=draws,
        lines=lines,
    )
    line = head.model_dump_json(exclude_defaults=True)
    return line.encode() + b"\n" + columns.astype(head.type).tobytes()


def since_last_gap(chunks: Sequence[bytes]) -> tuple[list[bytes], int]:
    """Return the last chunks that follow one another, each once, and how many came before them.

    Raises `ValueError`.
    """
    whole: dict[int, bytes] = {}  # by number
    forgotten, last = 0, -1
    for chunk in chunks:
        number = _read(chunk)[0].number
        if whole.get(number) == chunk:
            continue
        if whole and number != last + 1:
            forgotten += len(whole)
            whole = {}
        whole[number], last = chunk, number
    return [*whole.values()], forgotten


def read_chunks(chunks: Sequence[bytes]) -> tuple[Remembered, Lines]:
    """Return all columns of a backup, and the lines of its last chunk. Raises `ValueError`."""
    heads, tokens = zip(*map(_read, chunks), strict=True)
    columns = np.concatenate(tokens)
    if not len(columns):
        raise ValueError("no columns")
    return Remembered(columns, heads[-1].seed, heads[-1].draws), heads[-1].lines


def _read(chunk: bytes) -> tuple[ChunkHead, Tokens]:
    line, _, content = chunk.partition(b"\n")
    head = ChunkHead.model_validate_json(line)
    if head.format != MEMORY_FORMAT:
        raise ValueError(f"format {head.format}")
    tokens = np.frombuffer(content, dtype=head.type).reshape(-1, head.streams)
    return head, tokens.astype(np.int64)
