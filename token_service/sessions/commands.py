"""Sends commands to the hosts of sessions, through redis, and waits some seconds for the answer.

Raises `RedisError` where redis is away.
"""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from redis.asyncio import Redis

from protocol.commands import (
    ANSWER_WITHIN_S,
    LIFE_S,
    Answer,
    Command,
    Refusal,
    answer_key,
    mailbox_key,
)
from protocol.room_spec import RoomSpec
from token_service.fleet.reader import FleetReader
from token_service.refusals import Refused, Unavailable, not_live

log = structlog.stdlib.get_logger(__name__)

BLOCK_S = 1.0  # shorter than the connection's time-out
SWITCH_TRIES, SWITCH_WAIT_S = 3, 0.4  # while a room changes its host
TAKEN_WAIT_S = 1.5  # for the answer to a command that was taken at the last moment
RETRY_S: dict[Refusal, int] = {  # the rest stays refused until something is changed
    "starting": 1,
    "persona_absent": 2,
    "too_many_lines": 5,
    "no_answer": 2,
}


@dataclass(frozen=True, slots=True)
class Commands:
    redis: Redis
    workers: FleetReader

    async def send(self, spec: RoomSpec, command: Command) -> None:
        """Send a command to the session's host; return once the host has taken it.

        Raises `Refused` or `Unavailable` with the reason where it is not done.
        """
        answer = await self._ask_host(spec, command)
        for _ in range(SWITCH_TRIES if spec.standby else 0):
            if answer.refusal in ("persona_absent", "not_live"):  # one host has stopped just now
                await asyncio.sleep(SWITCH_WAIT_S)
                answer = await self._ask_host(spec, command)
        if answer.refusal is None:
            return
        log.info("command_refused", do=command.do, refusal=answer.refusal)
        if (retry_s := RETRY_S.get(answer.refusal)) is not None:
            raise Unavailable(answer.refusal, answer.detail, retry_s)
        raise Refused(HTTPStatus.CONFLICT, answer.refusal, answer.detail)

    async def _ask_host(self, spec: RoomSpec, command: Command) -> Answer:
        host = (await self.workers.fleet()).host(spec)
        if host is None:
            raise not_live()
        there = command.model_copy(update={"generation": host.hosts[spec.room]})
        return await self._ask(host.worker_id, there)

    async def _ask(self, worker_id: str, command: Command) -> Answer:
        mailbox, letter = mailbox_key(worker_id), command.model_dump_json()
        async with self.redis.pipeline() as pipe:
            pipe.rpush(mailbox, letter)
            pipe.expire(mailbox, LIFE_S)
            await pipe.execute()
        answer = await self._answer(command.id, ANSWER_WITHIN_S)
        if answer is not None:
            return answer
        if await self.redis.lrem(mailbox, 1, letter):
            return Answer(
                refusal="no_answer",
                detail="The session's worker does not answer. The command was taken back.",
            )
        return await self._answer(command.id, TAKEN_WAIT_S) or Answer(
            refusal="no_answer",
            detail="The session's worker was lost with the command. Look at the session's events.",
        )

    async def _answer(self, command_id: str, within_s: float) -> Answer | None:
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            found: Any = await self.redis.blpop([answer_key(command_id)], min(left_s, BLOCK_S))
            if found is not None:
                return Answer.model_validate_json(found[1])
        return None
