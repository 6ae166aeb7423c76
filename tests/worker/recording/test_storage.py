"""Stored recordings, in a folder and in a bucket: listed, read, uploaded, deleted in time."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.recordings.byte_range import RangeBeyond, range_of
from protocol.recordings.names import PartName, mark_of, new_part, owner_folder, read_key
from protocol.recordings.storage import RecordingStorage, StorageAway, open_storage
from tests.conftest import SettingsFor
from tests.token_service.auth.callers import Keys, app
from tests.worker.recording.test_part import until
from worker.recording.mix import RoomFrame
from worker.recording.recordings import Recordings
from worker.recording.uploads import FIRST_S, Uploads

DAY_S = 86_400.0
OWNER = "user:https://issuer.example/ann"
PART = new_part(OWNER, "5e55", 1, 1_800_000_000.0)
LATER = new_part(OWNER, "5e56", 2, 1_800_000_100.0)
FOREIGN = new_part("key:shop", "5e57", 1, 1_800_000_000.0)


def store(settings: Settings, tmp_path: Path, key: str, content: bytes = b"sound") -> None:
    """Store a file under a key."""
    source = tmp_path / "source"
    source.write_bytes(content)
    open_storage(settings).upload(key, source)


def record(settings: Settings, name: PartName = PART) -> Recordings:
    """Record about a second of silence, and end the part."""
    recordings = Recordings(settings)
    part = recordings.open(name, {}, lambda: None, pytest.fail)
    for _ in range(12):
        part.put(RoomFrame((), ()))
    recordings.close()
    return recordings


def files_of(settings: Settings) -> list[Path]:
    """Return the files in the folder of recordings."""
    assert settings.record_dir is not None
    return [each for each in settings.record_dir.rglob("*") if each.is_file()]


def test_names_can_be_read_again() -> None:
    """A key names the part and the kind of file; a key of another form names nothing."""
    assert read_key(PART.key("ogg")) == (PART, "ogg")
    assert (PART.session, PART.started_s) == ("5e55", 1_800_000_000.0)
    for foreign in ("notes.txt", PART.key("exe"), f"x/{PART.key('ogg')}", PART.folder):
        assert read_key(foreign) is None


async def test_a_recording_belongs_to_its_owner(stored: Settings, tmp_path: Path) -> None:
    """An owner's recordings, and no others, are listed, read and deleted."""
    storage = open_storage(stored)
    for key in (*map(PART.key, ("ogg", "json", "vtt")), LATER.key("ogg"), FOREIGN.key("ogg")):
        store(stored, tmp_path, key)
    store(stored, tmp_path, f"{owner_folder(OWNER)}/notes.txt")

    assert [each.name for each in await storage.of(OWNER)] == [PART, LATER]
    [part] = await storage.of(OWNER, "5e55")
    assert part.sizes == {"ogg": 5, "json": 5, "vtt": 5}
    found = await storage.read(PART.key("ogg"))
    assert found is not None and b"".join([each async for each in found.chunks]) == b"sound"
    await storage.delete(OWNER, "5e55")
    assert [each.name for each in await storage.of(OWNER)] == [LATER]
    assert [each.name for each in await storage.of("key:shop")] == [FOREIGN]
    assert await storage.read(PART.key("ogg")) is None


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("", b"sound"),
        ("bytes=1-2", b"ou"),
        ("bytes=1-", b"ound"),
        ("bytes=1-99", b"ound"),
        ("bytes=-2", b"nd"),
        ("bytes=-99", b"sound"),
        ("bytes=0-0,2-3", b"sound"),
        ("bytes=2-1", b"sound"),
        ("bytes=-", b"sound"),
        ("lines=1-2", b"sound"),
    ],
)
async def test_a_part_of_a_file_is_read(
    stored: Settings, tmp_path: Path, header: str, content: bytes
) -> None:
    """A range is read out of folder and bucket; what is no single range means the whole file."""
    store(stored, tmp_path, PART.key("ogg"))
    found = await open_storage(stored).read(PART.key("ogg"), range_of(header))

    assert found is not None and found.size == 5
    assert b"".join([each async for each in found.chunks]) == content
    assert b"sound"[found.begin : found.end] == content


@pytest.mark.parametrize("header", ["bytes=5-", "bytes=9-12", "bytes=-0"])
async def test_a_range_beyond_a_file_is_refused(
    stored: Settings, tmp_path: Path, header: str
) -> None:
    """A range without a byte of its file is refused with the file's size."""
    store(stored, tmp_path, PART.key("ogg"))
    with pytest.raises(RangeBeyond) as beyond:
        await open_storage(stored).read(PART.key("ogg"), range_of(header))

    assert beyond.value.size == 5


async def test_recordings_are_deleted_after_record_days(stored: Settings, tmp_path: Path) -> None:
    """A sweep deletes recordings unchanged for `RECORD_DAYS`, and no other files."""
    store(stored, tmp_path, PART.key("ogg"))
    store(stored, tmp_path, "notes.txt")
    storage = open_storage(stored)
    for days, left in ((29.9, [PART]), (30.1, [])):
        at_s = time.time() + days * DAY_S
        Recordings(stored, clock=lambda at_s=at_s: at_s).sweep()
        assert [each.name for each in await storage.of(OWNER)] == left
    assert await storage.read("notes.txt") is not None


async def test_a_part_goes_into_the_bucket(bucket: Settings) -> None:
    """When a part ends, all its files are in the bucket and none is left in the folder."""
    record(bucket)
    [part] = await open_storage(bucket).of(OWNER)
    assert (part.name, set(part.sizes)) == (PART, {"ogg", "json", "vtt"})
    assert files_of(bucket) == []


async def test_the_next_sweep_uploads_a_part_that_could_not_be_uploaded(bucket: Settings) -> None:
    """A part that was recorded while the bucket did not answer is uploaded by the next sweep."""
    record(bucket.model_copy(update={"record_s3_endpoint": "http://127.0.0.1:9"}))
    assert await open_storage(bucket).of(OWNER) == []
    Recordings(bucket).sweep()
    assert [each.name for each in await open_storage(bucket).of(OWNER)] == [PART]


async def test_a_waiting_part_of_a_deleted_recording_is_not_uploaded(bucket: Settings) -> None:
    """A deletion also deletes waiting parts, but none that began after it."""
    waiting = bucket.model_copy(update={"record_s3_bucket": ""})  # so parts wait in the folder
    begun_s = time.time()
    deleted, later = (new_part(OWNER, "5e58", i, begun_s + (i - 1) * 60.0) for i in (0, 2))
    for part in (deleted, later):
        record(waiting, part)
    storage = open_storage(bucket)
    await storage.delete(OWNER, "5e58")
    Recordings(bucket).sweep()
    assert [each.name for each in await storage.of(OWNER)] == [later]
    assert files_of(bucket) == []


async def test_waiting_parts_and_marks_of_deletion_expire(bucket: Settings) -> None:
    """A part that waits for its upload, and a deletion's mark, are deleted after `RECORD_DAYS`.

    No empty folder is left.
    """
    record(bucket.model_copy(update={"record_s3_bucket": ""}))
    storage = open_storage(bucket)
    await storage.delete(OWNER, LATER.session)
    assert await storage.read(mark_of(LATER.folder)) is not None
    at_s = time.time() + 30.1 * DAY_S
    Recordings(bucket, clock=lambda: at_s).sweep()
    assert bucket.record_dir is not None
    assert (await storage.of(OWNER), list(bucket.record_dir.iterdir())) == ([], [])
    assert await storage.read(mark_of(LATER.folder)) is None


@dataclass
class Growing:
    """A part that is being recorded into the folder, and its uploads, with a clock of their own."""

    uploads: Uploads
    storage: RecordingStorage
    path: Path
    now_s: float = 0.0


@pytest.fixture
def growing(bucket: Settings) -> Growing:
    """Return a part of which some bytes are in the folder and none in the bucket."""
    storage, folder = open_storage(bucket), bucket.record_dir
    assert folder is not None
    uploads = Uploads(folder, storage, lambda: part.now_s)
    part = Growing(uploads, storage, folder / PART.key("ogg"))
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(b"some")
    uploads.grown(PART)
    return part


async def test_a_part_is_uploaded_as_it_grows(growing: Growing) -> None:
    """After `FIRST_S` a growing part is uploaded, and its file stays in the folder."""
    assert await growing.storage.of(OWNER) == []
    growing.now_s = FIRST_S
    growing.uploads.grown(PART)
    growing.uploads.close()
    [part] = await growing.storage.of(OWNER)
    assert (part.sizes, growing.path.read_bytes()) == ({"ogg": 4}, b"some")


async def test_an_upload_that_fails_in_an_unknown_way_is_not_the_last(
    bucket: Settings, growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part whose upload broke off is uploaded whole at its end, and leaves the folder."""
    uploads, storage = growing.uploads, growing.storage
    growing.now_s = FIRST_S
    with monkeypatch.context() as patched:
        patched.setattr(storage, "upload", lambda *_: {}["nothing"])
        uploads.grown(PART)
        uploads._threads.submit(lambda: None).result()  # pyright: ignore[reportPrivateUsage]
        until(lambda: not uploads._running)  # pyright: ignore[reportPrivateUsage]
    uploads.finish(PART)
    assert [each.sizes for each in await storage.of(OWNER)] == [{"ogg": 4}]
    assert files_of(bucket) == []


def test_a_deletion_that_breaks_off_is_done_by_the_next_sweep(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a part that is uploaded no file stays in the folder, also after a crash in between."""
    record(bucket.model_copy(update={"record_s3_endpoint": "http://127.0.0.1:9"}))
    unlink, left = Path.unlink, [1]

    def crashes(path: Path, missing_ok: bool = False) -> None:
        if not left.pop():
            raise KeyboardInterrupt
        unlink(path, missing_ok)
        left.append(0)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", crashes)
        Recordings(bucket).sweep()
    Recordings(bucket).sweep()
    assert files_of(bucket) == []


async def test_a_sweep_leaves_an_open_part_alone(bucket: Settings) -> None:
    """A second process with the same folder does not upload a part that is still written."""
    recordings = Recordings(bucket)
    started: list[bool] = []
    recordings.open(PART, {}, lambda: started.append(True), pytest.fail)
    until(lambda: bool(started))
    Recordings(bucket).sweep()
    assert await open_storage(bucket).of(OWNER) == []
    recordings.close()


def test_a_storage_that_cannot_be_used_is_reported(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    """A folder that cannot be made fails at the start, an unreachable bucket at each call."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "recordings"
    said = re.escape(f"RECORD_DIR={str(folder)!r}: expected a folder to write to: ")
    with pytest.raises(InvalidInput, match=f"^{said}"):
        open_storage(settings_for(record_dir=folder))
    away = open_storage(
        settings_for(record_s3_bucket="calls", record_s3_endpoint="http://127.0.0.1:9")
    )
    with pytest.raises(StorageAway):
        away.upload(PART.key("ogg"), tmp_path / "file")


async def test_the_api_reads_and_deletes_recordings_in_a_bucket(
    bucket: Settings, redis_url: str, tmp_path: Path
) -> None:
    """Callers list, read and delete a bucket's recordings; a refused key is `recordings_away`."""
    keys = Keys(tmp_path / "keys.toml")
    owner = keys.add("shop")
    store(bucket, tmp_path, FOREIGN.key("ogg"))
    at = f"/sessions/{FOREIGN.session}/recordings"
    service = bucket.model_copy(
        update={"auth_mode": ("api_keys",), "api_keys_file": keys.path, "redis_url": redis_url}
    )
    async with app(service) as http:
        [listed] = (await http.get("/recordings", headers=owner)).json()
        [file] = listed["files"]
        sound = await http.get(f"{at}/{file}", headers=owner)
        gone = await http.delete(at, headers=owner)
        left = (await http.get(at, headers=owner)).json()
    async with app(service.model_copy(update={"record_s3_access_key": "unknown"})) as http:
        away = await http.get(at, headers=owner)
    assert (listed["session"], sound.content) == (FOREIGN.session, b"sound")
    assert (gone.status_code, left) == (204, [])
    assert (away.status_code, away.json()["error"]) == (503, "recordings_away")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("record_s3_access_key", "unknown"),
        ("record_s3_secret_key", "wrong"),
        ("record_s3_bucket", "nowhere"),
        ("record_s3_endpoint", "http://127.0.0.1:9"),
    ],
)
async def test_a_wrong_setting_is_named(bucket: Settings, setting: str, value: str) -> None:
    """The reason begins with the setting that is wrong, and does not contain the secret."""
    given = SecretStr(value) if setting == "record_s3_secret_key" else value
    storage = open_storage(bucket.model_copy(update={setting: given}))
    for ask in (
        lambda: storage.of(OWNER),
        lambda: storage.read(PART.key("ogg")),
        lambda: storage.delete(OWNER, "5e55"),
    ):
        with pytest.raises(StorageAway, match=f"^{setting.upper()}: ") as raised:
            await ask()
        assert reveal(bucket, "record_s3_secret_key", "a test") not in str(raised.value)


async def test_a_key_that_is_not_given_is_named(
    bucket: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key, and on a machine that Amazon gives no role, the reason names the key."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # so Amazon's address of roles is silent
    storage = open_storage(bucket.model_copy(update={"record_s3_access_key": ""}))
    with pytest.raises(StorageAway, match=r"^RECORD_S3_ACCESS_KEY: [^\n]*$"):
        await storage.of(OWNER)
