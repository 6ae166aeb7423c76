"""A recording whose process of rooms is killed: what it left is in the bucket soon."""

import asyncio
from pathlib import Path

import httpx

from harness.person import eventually, person
from harness.rooms import asking_for, in_talk
from harness.stack import Stack, room_processes, start_stack
from protocol import wire
from protocol.config.settings import Settings

A_SECOND = 8_000  # bytes
WITHIN_S = 60.0
GIVEN = ("bucket", "endpoint", "access_key", "secret_key")


async def test_the_part_of_a_killed_process_is_uploaded(bucket: Settings, tmp_path: Path) -> None:
    """What a killed process of rooms wrote of a call is in the bucket while the call goes on."""
    waiting, secret = bucket.record_dir, bucket.record_s3_secret_key
    assert waiting is not None and secret is not None
    told = {f"record_s3_{each}": str(getattr(bucket, f"record_s3_{each}")) for each in GIVEN}
    told |= {"record_s3_secret_key": secret.get_secret_value()}
    agreed = {wire.ATTR_RECORD_CONSENT: "true"}
    asked = asking_for("chef", record=True, participant_attributes=agreed)

    def here() -> list[Path]:
        return sorted(waiting.glob("*/*/*.ogg"))

    with start_stack(
        tmp_path, model="echo", capacity=1, room_processes="1", record_dir=str(waiting), **told
    ) as stack:
        async with person(stack.url, asked) as ann:
            await in_talk(ann)
            ann.tone_hz = 500.0
            await eventually(
                lambda: any(each.stat().st_size > A_SECOND for each in here()), "it grows"
            )
            [first] = here()
            [process] = room_processes(stack.worker_pid)
            process.kill()
            await eventually(lambda: first not in here(), "it is moved", WITHIN_S)
            files = await asyncio.to_thread(uploaded, stack, first.parent.name)
            is_in_call = ann.room.isconnected()

    assert first.name in files
    assert files[first.name] > A_SECOND
    assert is_in_call


def uploaded(stack: Stack, session: str) -> dict[str, int]:
    """Return the files of a session in the bucket, with their sizes."""
    url = f"{stack.url}/sessions/{session}/recordings"
    parts = httpx.get(url, trust_env=False, timeout=20).raise_for_status().json()
    return {name: size for each in parts for name, size in each["files"].items()}
