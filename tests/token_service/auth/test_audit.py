"""The audit log: its lines, and that no change is made without it."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from tests.token_service.auth.callers import app, refused
from tests.token_service.players import beat
from token_service.auth.audit import Audit, AuditAway
from token_service.auth.callers import Caller
from token_service.refusals import LiveKitAway
from token_service.rooms.events import EventStore
from token_service.rooms.livekit import LiveKitRooms

FULL_DISK = Path("/dev/full")  # every write there fails as on a full disk


async def test_each_token_and_change_is_logged(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """Each token and change has a line with caller, address and identity, and no secret."""
    path = tmp_path / "audit.jsonl"
    await beat(redis)
    watched = settings.model_copy(update={"audit_log": path, "auth_mode": ("open",)})
    async with app(watched) as http:
        minted = (await http.post("/token", json={"room_name": "kitchen"})).json()
        asked = {"identity": "ann", "personas": [{"name": "chef", "prompt": "The recipe."}]}
        opened = (await http.post("/sessions", json=asked)).json()
        at = f"/sessions/{opened['id']}"
        await http.post(f"{at}/say", json={"text": "Hello world."})  # refused: the room has no host
        await http.post(f"{at}/mute", json={"muted": True})
        guest = (await http.post(f"{at}/guests")).json()
        await http.delete(f"{at}/guests/{guest['id']}")
        await http.delete(f"{at}/tokens/{opened['token_id']}")
        await http.delete(at)
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert [line["action"] for line in lines] == [
        "token_minted",
        "session_opened",
        "persona_muted",
        "guest_invited",
        "guest_uninvited",
        "token_revoked",
        "session_ended",
    ]
    assert {(line["caller"], line["address"]) for line in lines} == {("anyone", "203.0.113.7")}
    assert (lines[1]["identity"], lines[1]["token_id"]) == ("ann", opened["token_id"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in (
        minted["participant_token"],
        opened["participant_token"],
        guest["bearer"],
        "The recipe.",
        "Hello world.",
    ):
        assert secret not in text


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("DELETE", "/tokens/{token}", "token_revoked"),
        ("DELETE", "/people/ann", "person_removed"),
        ("DELETE", "/guests/{guest}", "guest_uninvited"),
        ("POST", "/mute", "persona_muted"),
        ("DELETE", "", "session_ended"),
    ],
)
async def test_a_change_that_is_broken_off_is_logged(
    settings: Settings,
    redis: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    action: str,
) -> None:
    """A change is logged although its answer is 503: LiveKit or redis went away in the middle."""
    log = tmp_path / "audit.jsonl"
    await beat(redis)
    watched = settings.model_copy(update={"audit_log": log, "auth_mode": ("open",)})

    async def livekit_away(*_: object) -> None:
        raise LiveKitAway

    async def redis_away(*_: object) -> None:
        raise RedisConnectionError

    async with app(watched) as http:
        opened = (await http.post("/sessions", json={"identity": "ann"})).json()
        at = f"/sessions/{opened['id']}"
        guest = (await http.post(f"{at}/guests")).json()["id"]
        monkeypatch.setattr(LiveKitRooms, "participants", livekit_away)
        monkeypatch.setattr(EventStore, "add", redis_away)
        there = path.format(token=opened["token_id"], guest=guest)
        answer = await http.request(method, at + there, json={} if method == "POST" else None)
    actions = [json.loads(line)["action"] for line in log.read_text().splitlines()]

    assert answer.status_code == 503
    assert actions[-1] == action


def test_an_audit_log_survives_rotation(tmp_path: Path) -> None:
    """The audit log goes on in a new file after its file was renamed, as log rotation does."""
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.write("one", Caller("x"))
    path.rename(tmp_path / "old")
    audit.write("two", Caller("x"))

    assert json.loads(path.read_text())["action"] == "two"


def test_an_audit_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A service whose audit log cannot be written does not start."""
    with pytest.raises(InvalidInput, match=r"^AUDIT_LOG="):
        Audit(tmp_path / "nowhere" / "audit.jsonl")


async def test_nothing_is_changed_without_the_log(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """While the log's disk is full, changes are refused and the service is not ready."""
    path = tmp_path / "audit.jsonl"
    await beat(redis)
    watched = settings.model_copy(update={"audit_log": path})
    async with app(watched, "127.0.0.1", "http://localhost") as http:
        session = (await http.post("/sessions")).json()["id"]
        path.unlink()
        path.symlink_to(FULL_DISK)
        ended = await http.delete(f"/sessions/{session}")
        minted = await http.post("/token", json={"room_name": "kitchen"})
        ready, looked = await http.get("/ready"), await http.get("/sessions")
        specs = await redis.keys("moshi:promise:kitchen")
        path.unlink()
        again = await http.delete(f"/sessions/{session}")
        ready_again = await http.get("/ready")
    actions = [json.loads(line)["action"] for line in path.read_text().splitlines()]

    assert refused(ended) == refused(minted) == (503, "audit_away")
    assert (ready.status_code, ready.json()["code"]) == (503, "audit_away")
    assert (looked.status_code, specs) == (200, [])
    assert (again.status_code, ready_again.status_code) == (204, 200)
    assert actions == ["audit_resumed", "session_ended"]


def test_a_line_that_was_written_in_part_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half a line was written to a full disk, the next line is complete and on its own."""
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    write: Any = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
        with pytest.raises(AuditAway):
            audit.write("one", Caller("x"))
    audit.write("two", Caller("x"))
    _, whole = path.read_text().splitlines()

    assert json.loads(whole)["action"] == "two"
