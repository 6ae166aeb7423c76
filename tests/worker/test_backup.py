"""Backups: what a host stores of a persona in redis, and what the next host makes of it."""

import asyncio
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError
from structlog.testing import CapturingLogger, capture_logs

from harness.servers import free_port
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from tests.worker.running import running
from worker.backup import chunk as chunk_module
from worker.backup import store as store_module
from worker.backup.backup import PersonaBackup, RoomBackup
from worker.backup.chunk import (
    BACKUP_FRAMES,
    BACKUP_TTL_S,
    CHUNK_FRAMES,
    Lines,
    backup_keys,
    read_chunks,
    write_chunk,
)
from worker.backup.store import BackupStore
from worker.engine.slots import Column

MODEL = "pocket"
STREAMS = 17
SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="one",
    personas=persona_specs([Persona(name="chef", label="Chef", prompt="Cook.")]),
)
CHEF = SPEC.personas[0]


@pytest.fixture(autouse=True)
async def no_backups(redis_url: str) -> None:
    """Delete what another test has left: all have the same room, and come in any order."""
    async with Redis.from_url(redis_url) as redis:
        async for key in redis.scan_iter("moshi:backup:*"):
            await redis.delete(key)


def of_generation(generation: int) -> RoomSpec:
    """Return the room's spec for the host of a generation."""
    return SPEC.model_copy(update={"generation": generation})


def column(position: int, token: int = 0) -> Column:
    """Return a column whose tokens are its position, or `token`."""
    return Column(np.full(STREAMS, token or position), position, draws=position + 1)


def keep(backup: PersonaBackup, first: int, last: int, lines: Lines = ()) -> None:
    """Give a backup the columns `first` to before `last`."""
    for position in range(first, last):
        backup.take(column(position), lambda: lines)


async def kept(redis: Redis, generation: int, room: str = SPEC.room) -> list[bytes]:
    """Return the chunks of one host's backup."""
    spec = of_generation(generation).model_copy(update={"room": room})
    key = backup_keys(spec, CHEF, MODEL)[0]
    return cast(list[bytes], await redis.lrange(key, 0, -1))  # type: ignore[misc]  # redis-py's union of both clients


def test_chunks_are_read_as_they_were_written() -> None:
    """Columns, seed, draws and lines survive; a second takes less than 520 bytes."""
    columns = np.random.default_rng(1).integers(-2, 32_000, (CHUNK_FRAMES, STREAMS))
    large = columns + 40_000
    lines = (("a", "Hello."),)
    chunks = [write_chunk(0, columns, 5, 13, ()), write_chunk(1, large, 5, 26, lines)]
    remembered, lines = read_chunks(chunks)

    np.testing.assert_array_equal(remembered.tokens, np.concatenate([columns, large]))
    assert (remembered.seed, remembered.draws, lines) == (5, 26, lines)
    assert len(chunks[0]) < 520


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"{}\n12",
        b'{"number":0,"streams":17,"type":"x","seed":1,"draws":1}\n',
        write_chunk(0, np.zeros((0, STREAMS), dtype=np.int64), 1, 1, ()),
    ],
)
def test_a_broken_chunk_is_no_backup(chunk: bytes) -> None:
    """Bytes that are not a chunk, and a chunk without columns, raise `ValueError`."""
    with pytest.raises(ValueError):
        read_chunks([chunk])


def test_a_change_of_the_tokens_meaning_changes_the_key() -> None:
    """Another prompt, voice, id, model or session has another key; another label has the same."""
    [own, *_] = backup_keys(SPEC, CHEF, MODEL)
    changed = [{"prompt": "Bake."}, {"voice": "NATF1"}, {"id": "other"}]
    others = [backup_keys(SPEC, CHEF.model_copy(update=each), MODEL)[0] for each in changed]
    session = SPEC.model_copy(update={"session": "two"})
    others += [backup_keys(SPEC, CHEF, "other")[0], backup_keys(session, CHEF, MODEL)[0]]

    assert len({own, *others}) == 6
    assert backup_keys(SPEC, CHEF.model_copy(update={"label": "Cook"}), MODEL)[0] == own


async def test_the_next_host_reads_the_latest_minute(redis_url: str) -> None:
    """The next host gets the last minute, seed and lines, and its own backup begins with them."""
    frames = BACKUP_FRAMES + 5 * CHUNK_FRAMES
    lines = (("7", "Dinner is ready."),)
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            first = RoomBackup(store, of_generation(1), MODEL).of(CHEF)
            persona = first.begin(CHEF)
            keep(first, 1, 1 + frames, lines)
        expires_s = await redis.ttl(backup_keys(of_generation(1), CHEF, MODEL)[0])
        async with running(BackupStore(redis_url)) as store:
            second = RoomBackup(store, of_generation(4), MODEL).of(CHEF)
            recalled = await second.recall()
            assert recalled is not None
            again = second.begin(CHEF, recalled.remembered)
            keep(second, 10, 10 + CHUNK_FRAMES)
        both, _ = read_chunks(await kept(redis, 4))

        tokens = recalled.remembered.tokens[:, 0].tolist()
        assert tokens == list(range(frames - BACKUP_FRAMES + 1, frames + 1))
        assert recalled.remembered.draws == frames + 1
        assert recalled.lines == lines
        assert again.sampling.seed == persona.sampling.seed is not None
        assert both.tokens[:, 0].tolist() == [*tokens[:-1], *range(10, 10 + CHUNK_FRAMES)]
        assert await kept(redis, 1) == []
        assert 0 < expires_s <= BACKUP_TTL_S


@pytest.mark.parametrize(
    ("change", "first", "forgotten_chunks"),
    [("lost", 27, [1]), ("written twice", 1, []), ("nothing", 1, [])],
)
async def test_only_what_follows_a_gap_is_remembered(
    redis_url: str, change: str, first: int, forgotten_chunks: list[int]
) -> None:
    """Where redis lost a chunk the next host remembers the columns since; one twice counts once."""
    spec = SPEC.model_copy(update={"room": f"gap {change}"})
    own = backup_keys(spec, CHEF, MODEL)[0]
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            keep(RoomBackup(store, spec, MODEL).of(CHEF), 1, 1 + 5 * CHUNK_FRAMES)
        second: Any = await redis.lindex(own, 1)  # type: ignore[misc]  # as above
        if change == "lost":
            await redis.lrem(own, 1, second)  # type: ignore[misc]  # as above
        elif change == "written twice":
            await redis.linsert(own, "BEFORE", second, second)  # type: ignore[misc]  # as above
        later = spec.model_copy(update={"generation": 3})
        with capture_logs() as logs:
            async with running(BackupStore(redis_url)) as store:
                recalled = await RoomBackup(store, later, MODEL).of(CHEF).recall()

    assert recalled is not None
    columns = recalled.remembered.tokens[:, 0].tolist()
    assert columns == list(range(first, 1 + 5 * CHUNK_FRAMES))
    gaps = [each["forgotten_chunks"] for each in logs if each["event"] == "backup_has_gap"]
    assert gaps == forgotten_chunks


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("is_said", [False, True])
async def test_lines_are_kept_as_they_are_at_the_end(
    redis_url: str, after: int, is_said: bool
) -> None:
    """The next host says the lines that wait as a host stops, and none that it has said.

    So it is also where no column came since the last chunk.
    """
    line = (("7", "Dinner is ready."),)
    before, at_end = (line, ()) if is_said else ((), line)
    spec = SPEC.model_copy(update={"room": f"lines {after} {is_said}"})
    async with running(BackupStore(redis_url)) as store:
        backup = RoomBackup(store, spec, MODEL).of(CHEF)
        keep(backup, 1, 1 + CHUNK_FRAMES, before)
        keep(backup, 1 + CHUNK_FRAMES, 1 + CHUNK_FRAMES + after, before)
        assert backup.close(at_end)
        backup.close(())  # a host that has stopped leaves, with no line
        await store.written()
        later = spec.model_copy(update={"generation": 3})
        recalled = await RoomBackup(store, later, MODEL).of(CHEF).recall()

    assert recalled is not None and recalled.lines == at_end
    columns = recalled.remembered.tokens[:, 0].tolist()
    assert columns == list(range(1, 1 + CHUNK_FRAMES + after))
    assert recalled.remembered.draws == columns[-1] + 1


async def test_a_backup_of_another_format_is_told_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host of another version begins with an empty memory, says so in one line, and keeps on."""
    spec = SPEC.model_copy(update={"room": "another format"})
    later = spec.model_copy(update={"generation": 3})
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            monkeypatch.setattr(chunk_module, "MEMORY_FORMAT", 2)
            keep(RoomBackup(store, spec, MODEL).of(CHEF), 1, 1 + CHUNK_FRAMES)
            await store.written()
            monkeypatch.undo()
            backup = RoomBackup(store, later, MODEL).of(CHEF)
            with capture_logs() as logs:
                looks = [await backup.look(), await backup.recall()]
            keep(backup, 1, 1 + CHUNK_FRAMES)
        own, _ = read_chunks(await kept(redis, 3, spec.room))

    assert looks == [None, None]
    assert backup.is_unreadable
    assert [each["event"] for each in logs] == ["backup_unreadable"]
    assert len(own.tokens) == CHUNK_FRAMES


async def test_lines_of_a_host_that_gave_no_frame_are_kept(redis_url: str) -> None:
    """A host that took over and stops before its first column keeps lines and memory."""
    line = (("7", "Dinner is ready."),)
    spec = SPEC.model_copy(update={"room": "no frame"})
    async with running(BackupStore(redis_url)) as store:
        keep(RoomBackup(store, spec, MODEL).of(CHEF), 1, 1 + CHUNK_FRAMES)
        await store.written()
        recalled = []
        for generation in (3, 4):
            host = spec.model_copy(update={"generation": generation})
            backup = RoomBackup(store, host, MODEL).of(CHEF)
            recalled.append(await backup.recall())
            assert recalled[-1] is not None
            backup.begin(CHEF, recalled[-1].remembered)
            assert backup.close(line)
            await store.written()

    first, second = recalled
    assert second.lines == line
    assert second.remembered.seed == first.remembered.seed
    assert second.remembered.draws == first.remembered.draws - 1


async def test_without_a_memory_no_line_is_kept(redis_url: str) -> None:
    """Where nothing is kept of a persona, `close` returns that its lines are not kept."""
    async with running(BackupStore(redis_url)) as store:
        backup = RoomBackup(store, SPEC.model_copy(update={"room": "new"}), MODEL).of(CHEF)
        backup.begin(CHEF)

        assert not backup.close((("7", "Dinner is ready."),))


async def test_a_persona_without_a_slot_remembers_at_its_next_try(redis_url: str) -> None:
    """A persona that recalled its memory and got no slot recalls it again at the same host."""
    async with running(BackupStore(redis_url)) as store:
        keep(RoomBackup(store, of_generation(1), MODEL).of(CHEF), 1, 1 + 2 * CHUNK_FRAMES)
        await store.written()
        host = RoomBackup(store, of_generation(2), MODEL)
        tries = [host.of(CHEF), host.of(CHEF)]
        for each in tries:
            recalled = await each.recall()
            each.close(())
            await store.written()

    assert recalled is not None
    assert recalled.remembered.tokens[:, 0].tolist() == [*range(1, 2 * CHUNK_FRAMES)]


async def test_forget_deletes_the_backups_of_all_hosts(redis_url: str) -> None:
    """After `forget` only columns of the new, empty memory are stored, and `drop` deletes them."""
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            keep(RoomBackup(store, of_generation(1), MODEL).of(CHEF), 1, 30)
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(store, SPEC, MODEL).of(CHEF)
            keep(backup, 1, 30)
            backup.forget()
            keep(backup, 30, 60)
            keep(backup, 1, 1 + CHUNK_FRAMES)
        earlier = await kept(redis, 1)
        remembered, _ = read_chunks(await kept(redis, 2))
        async with running(BackupStore(redis_url)) as store:
            room = RoomBackup(store, SPEC, MODEL)
            room.of(CHEF)
            room.drop()

        assert earlier == []
        assert remembered.tokens[:, 0].tolist() == list(range(1, 1 + CHUNK_FRAMES))
        assert await kept(redis, 2) == []


async def test_what_follows_a_forget_before_the_first_column_is_kept(redis_url: str) -> None:
    """A persona that forgets while it waits for its prompt is remembered from then on."""
    spec = SPEC.model_copy(update={"room": "forgets first"})
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(store, spec, MODEL).of(CHEF)
            backup.forget()
            keep(backup, 0, CHUNK_FRAMES)
        remembered, _ = read_chunks(await kept(redis, 2, spec.room))
    assert remembered.tokens[:, 0].tolist() == list(range(CHUNK_FRAMES))


async def test_a_closed_backup_keeps_its_last_columns(redis_url: str) -> None:
    """A backup writes its last few columns when it closes, and none that come later."""
    spec = SPEC.model_copy(update={"room": "closed"})
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(store, spec, MODEL).of(CHEF)
            keep(backup, 1, 4)
            backup.close(())
            keep(backup, 4, 40)
        chunks = await kept(redis, spec.generation, spec.room)

    assert read_chunks(chunks)[0].tokens[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("why", ["off", "not transcribed"])
async def test_no_backup_is_kept_where_it_is_forbidden(redis_url: str, why: str) -> None:
    """Without a store, or in a room that is not transcribed, redis gets nothing."""
    spec = SPEC.model_copy(update={"room": why, "transcribe": why == "off"})
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(None if why == "off" else store, spec, MODEL).of(CHEF)
            keep(backup, 1, 40)
            backup.close(())
            assert await backup.recall() is None
        assert await redis.keys(f"moshi:backup:{why}:*") == []


@pytest.mark.parametrize("is_executed", [False, True])
async def test_a_redis_that_fails_for_a_while_loses_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, is_executed: bool
) -> None:
    """What it did not take, or took without an answer, is written again, and read once.

    The log has one line when that begins, and one when it is over.
    """
    spec = SPEC.model_copy(update={"room": f"away {is_executed}"})
    execute, failures = Pipeline.execute, [0]

    async def fails_twice(pipe: Any) -> Any:
        failures[0] += 1
        if failures[0] > 2:
            return await execute(pipe)
        if is_executed:
            await execute(pipe)
        raise ConnectionError

    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(store, spec, MODEL).of(CHEF)
            keep(backup, 1, 1 + CHUNK_FRAMES)
            await store.written()
            monkeypatch.setattr(store_module, "log", log := CapturingLogger())
            monkeypatch.setattr(Pipeline, "execute", fails_twice)
            for first in range(1 + CHUNK_FRAMES, 1 + 4 * CHUNK_FRAMES, CHUNK_FRAMES):
                keep(backup, first, first + CHUNK_FRAMES)
                await store.written()
            monkeypatch.undo()
            later = spec.model_copy(update={"generation": 3})
            recalled = await RoomBackup(store, later, MODEL).of(CHEF).look()
        await redis.delete(backup_keys(spec, CHEF, MODEL)[0])

    assert recalled is not None
    columns = recalled.remembered.tokens[:, 0].tolist()
    assert columns == list(range(1, 1 + 4 * CHUNK_FRAMES))
    assert [each.args[0] for each in log.calls] == ["backups_not_written", "backups_written_again"]


async def test_what_is_forgotten_while_redis_is_away_is_not_written_later(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion also deletes the chunks that redis has not taken."""

    async def fails(_: Any) -> Any:
        raise ConnectionError

    spec = SPEC.model_copy(update={"room": "forgotten"})
    async with Redis.from_url(redis_url) as redis:
        async with running(BackupStore(redis_url)) as store:
            backup = RoomBackup(store, spec, MODEL).of(CHEF)
            monkeypatch.setattr(Pipeline, "execute", fails)
            keep(backup, 1, 1 + CHUNK_FRAMES)
            await store.written()
            backup.forget()
            await store.written()
            monkeypatch.undo()
        assert await redis.exists(backup_keys(spec, CHEF, MODEL)[0]) == 0


async def test_without_redis_the_latest_minute_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """While redis is away a backup's latest minute waits for it, and what is older is counted."""
    before = REGISTRY.get_sample_value("moshi_backup_lost_chunks_total") or 0
    async with running(BackupStore(f"redis://127.0.0.1:{free_port()}/0")) as store:
        backup = RoomBackup(store, SPEC, MODEL).of(CHEF)
        for first in range(1, 1 + BACKUP_FRAMES + 4 * CHUNK_FRAMES, CHUNK_FRAMES):
            keep(backup, first, first + CHUNK_FRAMES)
        await store.written()
        lost = (REGISTRY.get_sample_value("moshi_backup_lost_chunks_total") or 0) - before
        monkeypatch.setattr(store_module, "MOST_WAITING", 10)
        await store.written()
        all_lost = (REGISTRY.get_sample_value("moshi_backup_lost_chunks_total") or 0) - before

    assert (lost, all_lost) == (4, 4 + BACKUP_FRAMES // CHUNK_FRAMES)


async def test_without_redis_chunks_are_dropped_and_counted() -> None:
    """Without redis chunks are dropped and counted, and a host reads no backup."""
    before = REGISTRY.get_sample_value("moshi_backup_lost_chunks_total") or 0
    async with running(BackupStore(f"redis://127.0.0.1:{free_port()}/0")) as store:
        backup = RoomBackup(store, SPEC, MODEL).of(CHEF)
        keep(backup, 1, 1 + 2 * CHUNK_FRAMES)
        assert await backup.recall() is None

    assert REGISTRY.get_sample_value("moshi_backup_lost_chunks_total") == before + 2


async def test_a_slow_redis_loses_nothing_of_a_host_that_stops(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a while, and what all rooms have asked for meanwhile is done all the same.

    A deletion that is lost would leave words in redis after their person has gone.
    """
    execute = Pipeline.execute

    async def later(pipe: Any) -> Any:
        await asyncio.sleep(0.3)
        return await execute(pipe)

    async with Redis.from_url(redis_url) as redis:
        await redis.rpush("moshi:backup:slow", b"words")  # type: ignore[misc]  # as above
        monkeypatch.setattr(Pipeline, "execute", later)
        monkeypatch.setattr(store_module, "ANSWERS_WITHIN_S", 0.1)
        async with running(BackupStore(redis_url)) as store:
            store.drop("moshi:backup:slow")
            with pytest.raises(TimeoutError):
                await store.written()
        monkeypatch.undo()
        assert await redis.exists("moshi:backup:slow") == 0
