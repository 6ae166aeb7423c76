"""Recordings over HTTP: which callers may ask for, find, read and delete one."""

import json
from pathlib import Path

import httpx
import jwt
import pytest
from redis.asyncio import Redis

from protocol import wire
from protocol.config.settings import Settings
from protocol.recordings.names import PartName, new_part
from protocol.recordings.storage import RecordingStorage, StorageAway
from tests.token_service.auth.callers import Keys, app, refused
from tests.token_service.players import beat, spec_of, write
from token_service.auth.callers import Scope
from token_service.service import Service

STARTED_S = 1_800_000_000.0
RECORDED = {"record": True, "personas": ["chef"]}


@pytest.fixture
def recording(keyed: Settings, tmp_path: Path) -> Settings:
    """Return settings with a folder for recordings, an audit log and API keys."""
    places = {"record_dir": tmp_path / "recordings", "audit_log": tmp_path / "audit.jsonl"}
    return keyed.model_copy(update=places)


def keep(settings: Settings, owner: str, session: str) -> PartName:
    """Store a recording as a worker does."""
    assert settings.record_dir is not None
    part = new_part(owner, session, 1, STARTED_S)
    for kind in ("ogg", "json", "vtt"):
        path = settings.record_dir / part.key(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(kind)
    return part


def actions(settings: Settings) -> list[str]:
    """Return the audit log's actions that concern recordings."""
    assert settings.audit_log is not None
    lines = map(json.loads, settings.audit_log.read_text().splitlines())
    return [line["action"] for line in lines if line["action"].startswith("recording")]


async def test_a_recorded_session_says_so(
    recording: Settings, keys: Keys, redis: Redis, room: str
) -> None:
    """The answers for a recorded session's room say `ask`, and the room's spec has `record`."""
    await beat(redis)
    key = keys.add("shop")
    async with app(recording) as http:
        asked = {"room": room, "record_consent": True} | RECORDED
        said = (await http.post("/sessions", json=asked, headers=key)).json()
        view = (await http.get(f"/sessions/{said['id']}", headers=key)).json()
        token = (await http.post("/token", json={"room_name": room}, headers=key)).json()
        other = (await http.post("/token", json={"record": True}, headers=key)).json()
    claims = jwt.decode(said["participant_token"], options={"verify_signature": False})
    assert (said["recording"], token["recording"], other["recording"]) == ("ask",) * 3
    assert claims["attributes"][wire.ATTR_RECORD_CONSENT] == "true"
    assert view["recorded"] and (await spec_of(redis, room)).record
    assert actions(recording) == ["recording_asked"] * 2


async def test_a_session_without_record_is_not_recorded(
    recording: Settings, keys: Keys, redis: Redis, room: str
) -> None:
    """A session without `record` is not recorded, and a later request does not change that."""
    await beat(redis)
    key = keys.add("shop")
    async with app(recording) as http:
        said = (await http.post("/sessions", json={"room": room}, headers=key)).json()
        asked = {"room_name": room, "record": True}
        token = (await http.post("/token", json=asked, headers=key)).json()
    assert said["recording"] is None and "recording" not in token
    assert actions(recording) == []


async def test_a_recording_needs_scope_and_place(
    recording: Settings, keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """Recording needs the scope `record`, and a folder or bucket, which the refusal names."""
    await beat(redis)
    without, with_scope = keys.add("shop", Scope.TALK, Scope.MANAGE), keys.add("boss")
    async with app(recording) as http:
        for path, asked in (("/sessions", RECORDED), ("/token", {"record": True})):
            answer = await http.post(path, json=asked, headers=without)
            assert refused(answer) == (403, "scope_missing")
        for path in ("/recordings", "/sessions/5e55/recordings"):
            assert refused(await http.get(path, headers=without)) == (403, "scope_missing")
    async with app(recording.model_copy(update={"auth_mode": ("open",)})) as http:
        unnamed = await http.post("/sessions", json=RECORDED)
        assert refused(unnamed) == (403, "scope_missing")
    async with app(keyed) as http:
        answers = [
            await http.post("/sessions", json=RECORDED, headers=with_scope),
            await http.get("/recordings", headers=with_scope),
        ]
    for answer in answers:
        assert refused(answer) == (400, "recording_off")
        assert "RECORD_DIR" in answer.json()["detail"]


async def test_a_recording_is_read_and_deleted_by_its_owner(
    recording: Settings, keys: Keys, redis: Redis
) -> None:
    """A recording is listed, read and deleted by its owner alone, with lines in the audit log."""
    owner, other = keys.add("shop"), keys.add("rival")
    part = keep(recording, "key:shop", "5e55")
    keep(recording, "key:shop", "5e56")
    at = "/sessions/5e55/recordings"
    async with app(recording) as http:
        [listed] = (await http.get(at, headers=owner)).json()
        every = (await http.get("/recordings", headers=owner)).json()
        sound = await http.get(f"{at}/{part.part}.ogg", headers=owner)
        foreign = [
            await http.get(f"{at}/{part.part}.ogg", headers=other),
            await http.delete(at, headers=other),
        ]
        odd = await http.get(f"{at}/..%2F..%2Fkeys.toml", headers=owner)
        gone = await http.delete(at, headers=owner)
        left = (await http.get("/recordings", headers=owner)).json()
    assert listed == {
        "session": "5e55",
        "part": part.part,
        "started_at_s": STARTED_S,
        "changed_at_s": listed["changed_at_s"],
        "files": {f"{part.part}.{kind}": len(kind) for kind in ("json", "ogg", "vtt")},
    }
    assert sorted(each["session"] for each in every) == ["5e55", "5e56"]
    assert (sound.text, sound.headers["content-type"]) == ("ogg", "audio/ogg; codecs=opus")
    assert sound.headers["cache-control"] == "no-store"
    assert [refused(each) for each in foreign] == [(404, "recording_unknown")] * 2
    assert odd.status_code in (400, 404) and gone.status_code == httpx.codes.NO_CONTENT
    assert [each["session"] for each in left] == ["5e56"]
    assert actions(recording) == ["recording_read", "recording_deleted"]


async def test_a_player_may_seek_in_a_recording(
    recording: Settings, keys: Keys, redis: Redis
) -> None:
    """A range of a file is answered with 206, one beyond it with 416, and HEAD tells the size."""
    owner = keys.add("shop")
    part = keep(recording, "key:shop", "5e55")
    at = f"/sessions/5e55/recordings/{part.part}"
    async with app(recording) as http:
        head = await http.head(f"{at}.ogg", headers=owner)
        some = await http.get(f"{at}.ogg", headers=owner | {"Range": "bytes=1-"})
        words = await http.get(f"{at}.json", headers=owner | {"Range": "bytes=-2"})
        beyond = await http.get(f"{at}.ogg", headers=owner | {"Range": "bytes=3-"})
        same = {"Range": "bytes=1-", "If-Range": head.headers["etag"]}
        unchanged = await http.get(f"{at}.ogg", headers=owner | same)
        other = {"Range": "bytes=1-", "If-Range": '"another"'}
        changed = await http.get(f"{at}.ogg", headers=owner | other)
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == ("3", "bytes")
    assert (some.status_code, some.text, some.headers["content-range"]) == (
        206,
        "gg",
        "bytes 1-2/3",
    )
    assert (words.status_code, words.text) == (206, "on")
    assert refused(beyond) == (416, "range_beyond")
    assert beyond.headers["content-range"] == "bytes */3"
    assert [(each.status_code, each.text) for each in (unchanged, changed)] == [
        (206, "gg"),
        (200, "ogg"),
    ]


async def test_a_deletion_that_breaks_off_is_in_the_audit_log(
    recording: Settings, keys: Keys, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion has its line although the storage fails in the middle of it."""

    async def deletes_one_file(*_: object) -> None:
        assert recording.record_dir is not None
        (recording.record_dir / part.key("ogg")).unlink()
        raise StorageAway("the disk is gone")

    key = keys.add("shop")
    part = keep(recording, "key:shop", "5e55")
    monkeypatch.setattr(RecordingStorage, "delete", deletes_one_file)
    async with app(recording) as http:
        broken = await http.delete("/sessions/5e55/recordings", headers=key)
        unknown = await http.delete("/sessions/5e56/recordings", headers=key)
    assert refused(broken) == (503, "recordings_away")
    assert refused(unknown) == (404, "recording_unknown")
    assert actions(recording) == ["recording_deleted"]


async def test_a_running_recording_is_not_deleted(
    recording: Settings, keys: Keys, redis: Redis, service: Service, room: str
) -> None:
    """A recording cannot be deleted while a worker hosts its session."""
    key = keys.add("shop")
    await beat(redis)
    async with app(recording) as http:
        asked = {"room": room} | RECORDED
        session = (await http.post("/sessions", json=asked, headers=key)).json()["id"]
        keep(recording, "key:shop", session)
        spec = (await spec_of(redis, room)).model_copy(update={"generation": 1, "worker": "worker"})
        await write(service.specs, spec)
        await beat(redis, hosts={room: 1})
        running = await http.delete(f"/sessions/{session}/recordings", headers=key)
        await beat(redis, left={room: 1})
        over = await http.delete(f"/sessions/{session}/recordings", headers=key)
    assert refused(running) == (409, "session_runs")
    assert over.status_code == httpx.codes.NO_CONTENT
    assert actions(recording) == ["recording_asked", "recording_deleted"]


async def test_a_recording_that_waits_for_its_upload_is_deleted(
    recording: Settings, keys: Keys, redis: Redis, room: str
) -> None:
    """The owner can delete a session's recording before any of it is stored; others cannot."""
    await beat(redis)
    key, other = keys.add("shop"), keys.add("rival")
    async with app(recording) as http:
        asked = {"room": room} | RECORDED
        session = (await http.post("/sessions", json=asked, headers=key)).json()["id"]
        await http.delete(f"/sessions/{session}", headers=key)
        foreign = await http.delete(f"/sessions/{session}/recordings", headers=other)
        own = await http.delete(f"/sessions/{session}/recordings", headers=key)
    assert refused(foreign) == (404, "recording_unknown")
    assert own.status_code == httpx.codes.NO_CONTENT


async def test_an_unreachable_bucket_is_answered_with_503(
    recording: Settings, keys: Keys, redis: Redis
) -> None:
    """A bucket that cannot be reached is answered with 503, and the answer has no address."""
    away = {"record_s3_bucket": "calls", "record_s3_endpoint": "http://127.0.0.1:9"}
    async with app(recording.model_copy(update=away)) as http:
        answer = await http.get("/recordings", headers=keys.add("shop"))
    assert refused(answer) == (503, "recordings_away")
    assert "127.0.0.1" not in answer.text
