"""Takes commands from the worker's mailbox in redis and passes them to the hosts of their rooms.

Runs on the main loop. While redis is away, commands wait in the mailbox until the token service
takes them back.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError

from protocol.commands import LIFE_S, Answer, Command, Sent, answer_key, mailbox_key
from protocol.redis.client import open_redis
from worker.background_tasks import BackgroundTasks
from worker.fleet.hosts import Hosts

log = structlog.get_logger(__name__)

# Between two looks into the mailbox. A blocking pop would hand a command to a frozen worker, which
# would carry it out later, after the token service has said that it was not.
POLL_S = 0.1
HOST_BEGINS_S = 2.0  # a host that cannot begin in this time does not carry out the command
HOST_ANSWERS_S = HOST_BEGINS_S + 0.5
COMMANDS_AT_ONCE = 100


class CommandReceiver:
    """Takes commands from the mailbox, and writes their answers, until stopped."""

    def __init__(self, redis_url: str, worker_id: str, hosts: Hosts) -> None:
        self._redis = open_redis(redis_url, decode_responses=True)
        self._mailbox = mailbox_key(worker_id)
        self._hosts = hosts
        self._is_stopping = False
        self._tasks = BackgroundTasks("command", worker_id)

    def stop(self) -> None:
        """End `run` within `POLL_S`."""
        self._is_stopping = True

    async def run(self) -> None:
        while not self._is_stopping:
            try:
                await self._empty_mailbox()
            except RedisError as error:
                log.debug("commands_interrupted", error=type(error).__name__)
            await asyncio.sleep(POLL_S)
        await self._tasks.join()
        await self._redis.aclose()

    async def _empty_mailbox(self) -> None:
        commands: Any = await self._redis.lpop(self._mailbox, COMMANDS_AT_ONCE)
        for text in commands or ():
            try:
                self._tasks.spawn(self._execute(Command.model_validate_json(text)))
            except ValidationError:
                log.warning("command_unreadable")
                self._tasks.spawn(self._refuse(text))

    async def _execute(self, command: Command) -> None:
        """Have the room's host carry out a command, and answer."""
        answer = await self._host_answer(command)
        log.info("command", do=command.do, room=command.room, refusal=answer.refusal)
        await self._write(command.id, answer)

    async def _refuse(self, text: str) -> None:
        """Answer a command of a newer version, so that its sender need not wait."""
        detail = "The session's worker is of another version and does not know this command."
        with suppress(ValidationError):
            newer = Sent.model_validate_json(text)
            await self._write(newer.id, Answer(refusal="no_answer", detail=detail))

    async def _write(self, command_id: str, answer: Answer) -> None:
        """Write the answer to a command into redis."""
        key = answer_key(command_id)
        try:
            async with self._redis.pipeline() as pipe:
                pipe.rpush(key, answer.model_dump_json())
                pipe.expire(key, LIFE_S)
                await pipe.execute()
        except RedisError as error:
            log.warning("answer_lost", error=type(error).__name__)

    async def _host_answer(self, command: Command) -> Answer:
        hosting = self._hosts.of(command.room, command.generation)
        if hosting is None:
            return Answer(refusal="not_live", detail="This worker does not host the session now.")
        answer = hosting.execute(command, time.monotonic() + HOST_BEGINS_S)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), HOST_ANSWERS_S)
        except TimeoutError:
            return Answer(refusal="no_answer", detail="The session's host does not answer.")
