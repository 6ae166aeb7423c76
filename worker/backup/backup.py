"""The backups of one host's room, one for each persona. Room's event loop."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from protocol.personas import Persona
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.backup.chunk import (
    CHUNK_FRAMES,
    Lines,
    backup_keys,
    read_chunks,
    since_last_gap,
    write_chunk,
)
from worker.backup.store import BackupStore
from worker.engine.arrays import Tokens
from worker.engine.model import Remembered
from worker.engine.slots import Column

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recalled:
    """A persona's columns and lines as an earlier host kept them."""

    remembered: Remembered
    lines: Lines  # that it had to say


class PersonaBackup:
    """Keeps one persona: its columns go to the store about once a second."""

    def __init__(
        self,
        store: BackupStore | None,
        keys: tuple[str, ...],
        on_recalled: Callable[[], None] = lambda: None,
    ) -> None:
        """`store` None: nothing is kept. `on_recalled`: there is an earlier host's memory."""
        self._store, self._keys, self._on_recalled = store, keys, on_recalled
        self._columns: list[Tokens] = []
        self._no_columns: Tokens = np.zeros((0, 1), dtype=np.int64)  # of the last chunk's width
        self._chunks = 0  # since the backup began
        self._kept_lines: Lines | None = None  # with the last chunk
        self._draws = self._seed = 0
        self._position = -1  # of the last column
        self._is_paused = self._is_closed = False
        self.is_unreadable = False  # an earlier host's, as one of another version may be

    async def look(self) -> Recalled | None:
        """Return an earlier host's backup; where a part of it is missing, what came after.

        It may be this host's already: the persona recalled it, and then could not join.
        """
        if self._store is None or len(self._keys) == 1:  # the first host asks no redis
            return None
        if not (chunks := await self._store.read(self._keys)):
            return None
        try:
            whole, forgotten = since_last_gap(chunks)
            recalled = Recalled(*read_chunks(whole))
        except ValueError as error:
            if not self.is_unreadable:  # one that stands by looks twice
                log.warning("backup_unreadable", error=type(error).__name__)
            self.is_unreadable = True
            return None
        if forgotten:
            log.warning("backup_has_gap", forgotten_chunks=forgotten, remembered_chunks=len(whole))
        return recalled

    async def recall(self) -> Recalled | None:
        """Return an earlier host's backup, and make it the beginning of this one."""
        recalled = await self.look()
        if recalled is None or self._store is None:
            return None
        self._on_recalled()
        # The last column is read again, with what is heard then.
        remembered = recalled.remembered
        columns = remembered.tokens[:-1]
        self._seed, self._draws = remembered.seed, remembered.draws - 1
        own, *earlier = self._keys
        self._store.drop(own)
        self._append(columns, recalled.lines)
        self._store.drop(*earlier)
        log.info("persona_remembers", frames=len(columns))
        return recalled

    def begin(self, persona: Persona, remembered: Remembered | None = None) -> Persona:
        """Begin with a slot; return the persona with the seed that the backup names."""
        asked = persona.sampling
        self._seed = secrets.randbits(31) if asked.seed is None else asked.seed
        if remembered is not None:
            self._seed = remembered.seed
        sampling = asked.model_copy(update={"seed": self._seed})
        return persona.model_copy(update={"sampling": sampling})

    def take(self, column: Column | None, lines: Callable[[], Lines]) -> None:
        """Keep a column; an empty memory begins a new backup."""
        if column is None or self._is_closed:
            return
        if column.position <= self._position:
            self.drop()
            self._is_paused = False
        self._position, self._draws = column.position, column.draws
        if self._is_paused:
            return
        self._columns.append(column.tokens)
        if len(self._columns) >= CHUNK_FRAMES:
            self._append(np.stack(self._columns), lines())

    def forget(self) -> None:
        """Delete the backup, and write none until the model has forgotten it, too."""
        self.drop()
        self._is_paused = self._position >= 0  # else it has nothing to forget: no fall will tell

    def drop(self) -> None:
        """Delete the backup so far."""
        self._columns.clear()
        self._chunks, self._kept_lines = 0, None
        if self._store is not None:
            self._store.drop(*self._keys)

    def close(self, lines: Lines) -> bool:
        """Keep the last columns, and no more; return whether the lines are kept with them."""
        if self._is_closed:
            return False
        self._is_closed = True
        if self._columns:
            self._append(np.stack(self._columns), lines)
        elif self._kept_lines not in {None, lines}:  # since the last chunk one came or was said
            self._append(self._no_columns, lines)
        if self._store is not None:
            self._store.flush()
        return self._kept_lines == lines

    def _append(self, columns: Tokens, lines: Lines) -> None:
        self._columns.clear()
        if self._store is not None:
            chunk = write_chunk(self._chunks, columns, self._seed, self._draws, lines)
            self._store.append(self._keys[0], chunk)
            self._chunks, self._kept_lines = self._chunks + 1, lines
            self._no_columns = columns[:0]


class RoomBackup:
    """Makes the backups of a room's personas."""

    def __init__(
        self,
        store: BackupStore | None,
        spec: RoomSpec,
        model: str,
        on_recalled: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is kept of a room in which people's words are not to be written.

        `on_recalled` is called for each persona that remembers an earlier host's conversation.
        """
        self._on_recalled = on_recalled
        self._store = store if spec.transcribe else None
        self._spec, self._model = spec, model
        self._made: list[PersonaBackup] = []

    def of(self, persona: PersonaSpec) -> PersonaBackup:
        """Return a backup for a persona."""
        keys = backup_keys(self._spec, persona, self._model)
        self._made.append(PersonaBackup(self._store, keys, self._on_recalled))
        return self._made[-1]

    def drop(self) -> None:
        """Delete the backups so far of every persona that this host has had."""
        for backup in self._made:
            backup.drop()
