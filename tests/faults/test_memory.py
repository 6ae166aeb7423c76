"""A worker with a real model dies in a call: the next host of its room remembers the call."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import torch
from moshi.models.lm import LMModel
from numpy.typing import NDArray

from harness.person import Person, eventually, person
from protocol.room_spec import RoomSpec, spec_key
from tests.engine import folders
from tests.engine.conversation.test_renewal import said_by_upstream
from tests.faults.call import poll_until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery
from worker.backup.chunk import backup_keys, read_chunks
from worker.engine.arrays import Tokens
from worker.engine.files.model_files import find_model
from worker.engine.files.weights import load_lm

CONTEXT = 1500
SPOKEN_FRAMES = 20
AGENT = slice(0, 9)  # of a column: text and the persona's codes
ACOUSTIC = slice(2, 9)  # of them those that come a frame later than the others; 0 is silence
GREEDY = {
    "name": "greedy",
    "label": "Greedy",
    "sampling": {"text_temperature": 0.0, "audio_temperature": 0.0},
}
METADATA = json.dumps({"personas": [GREEDY]})
ASKED = {"room_config": {"agents": [{"agent_name": "moshi", "metadata": METADATA}]}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small Moshi of random weights, whose every token depends on all that it has read."""
    folder = tmp_path_factory.mktemp("models") / "random"
    return folders.moshi_folder(folder, folders.random_lm(seed=8), context=CONTEXT)


@pytest.fixture
def remembering(tmp_path: Path, model: Path) -> Generator[Cluster]:
    """Start two workers with this model."""
    cluster = Cluster(tmp_path, model=str(model))
    try:
        cluster.become(services=1, workers=2)
        yield cluster
    finally:
        cluster.end()


class Room:
    """A room with a person who says a tone, and the backup of its hosts."""

    def __init__(self, cluster: Cluster, ann: Person) -> None:
        self._cluster, self._ann, self._name = cluster, ann, ann.room.name
        self._heard: set[str] = set()  # personas that were heard before

    @property
    def spec(self) -> RoomSpec:
        """Return the room's spec."""
        with redis.Redis.from_url(self._cluster.redis_url, decode_responses=True) as client:
            return RoomSpec.from_metadata(str(client.get(spec_key(self._name))))

    def kept(self) -> list[Tokens]:
        """Return the backup of the current host in chunks of columns `[T, 17]`, or nothing."""
        spec, model = self.spec, self._cluster.heartbeats()[0].model
        if not spec.generation:
            return []
        with redis.Redis.from_url(self._cluster.redis_url) as client:
            chunks: Any = client.lrange(backup_keys(spec, spec.personas[0], model)[0], 0, -1)
        return [read_chunks([chunk])[0].tokens for chunk in chunks]

    @property
    def columns(self) -> Tokens:
        """Return the backup of the current host, `[T, 17]`."""
        return np.concatenate(self.kept())

    async def talks(self, after: int = 0) -> None:
        """Wait until a host of a later generation than `after` has talked for some seconds."""

        def talked() -> bool:
            first = int(after > 0)  # its first chunk is the memory that it began with
            chunks = self.kept()[first:]
            if self.spec.generation <= after or sum(map(len, chunks)) < 3 * SPOKEN_FRAMES:
                return False
            return chosen(np.concatenate(chunks)).sum() >= SPOKEN_FRAMES

        await poll_until(talked)

    async def is_heard_again(self) -> None:
        """Wait until a persona is heard that was not heard before."""
        here = self._ann.heard
        await eventually(
            lambda: any(here[each] for each in here.keys() - self._heard), "a new persona"
        )

    def note_heard(self) -> None:
        """Remember which personas were heard until now."""
        self._heard = set(self._ann.heard)


def chosen(columns: Tokens) -> NDArray[np.bool_]:
    """Tell of which columns the model chose all tokens.

    A host has its persona be silent while it stands by, for longer where the machine is busy.
    """
    silent = np.pad(~columns[:, ACOUSTIC].any(axis=1), 1, constant_values=True)
    return ~(silent[:-2] | silent[1:-1] | silent[2:])


def proves_memory(lm: LMModel, first: Tokens, since: Tokens) -> None:
    """Assert that a host said `since` as upstream does after both, not after `since` alone."""
    initial = np.full((1, first.shape[1]), lm.initial_token_id)
    initial[0, 0] = lm.text_initial_token_id
    both, alone = np.concatenate([initial, first, since]), np.concatenate([initial, since])
    latest = np.flatnonzero(chosen(since))[-SPOKEN_FRAMES:]
    said, said_alone = (
        said_by_upstream(lm, read, len(read) - len(since) - 1)[latest] for read in (both, alone)
    )
    spoken = since[latest, AGENT]

    np.testing.assert_array_equal(said, spoken)
    assert (said_alone != spoken).any()
    assert len(np.unique(spoken[:, 0])) > 3


@pytest.mark.timeout(300)  # two workers import torch
@pytest.mark.usefixtures("one_torch_thread")
async def test_a_moved_and_a_killed_workers_rooms_remember(
    remembering: Cluster, model: Path, recovery: Recovery
) -> None:
    """Hosts of a moved room and of a killed worker's talk as upstream does after all columns."""
    cluster = remembering
    async with person(cluster.url, ASKED) as ann:
        ann.tone_hz = 300.0
        room = Room(cluster, ann)
        await room.talks()
        room.note_heard()
        [session] = json.loads(cluster.services[0].reads("/sessions"))
        moving = cluster.services[0].asked(f"/sessions/{session['id']}/move", {})
        await room.is_heard_again()
        await room.talks(after=1)
        moved, *since_move = room.kept()

        before = room.columns
        room.note_heard()
        with recovery("worker killed, until the next host's persona is heard and remembers"):
            cluster.host_of(ann.room.name).kill()
            await room.is_heard_again()
        await room.talks(after=2)
        first, *since = room.kept()
    lm = load_lm(find_model(str(model), lambda _: None), torch.device("cpu"), torch.float32)

    assert moving.status_code == 202
    assert room.spec.generation == 3
    proves_memory(lm, moved, np.concatenate(since_move))
    assert len(first) >= len(before) - 1
    np.testing.assert_array_equal(first[: len(before) - 1], before[:-1])
    proves_memory(lm, first, np.concatenate(since))
