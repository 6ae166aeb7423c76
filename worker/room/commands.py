"""The worker's mailbox: takes commands out of redis and passes them to the hosts of their rooms.

Runs on the main loop. A lost connection is made again; what waited meanwhile has been taken back by
the token service, or is done now.
"""

import asyncio
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.commands import (
    LIFE_S,
    Answer,
    Command,
    answer_key,
    bell_channel,
    mailbox_key,
)
from worker.hosts import Hosts

log = structlog.get_logger(__name__)

LOOK_S = 0.5  # between two looks where the bell is not heard
HOST_ANSWERS_S = 1.0  # a host's thread that does not answer in this time does not do it either
AT_ONCE = 100


class Commands:
    """Reads one worker's mailbox until stopped."""

    def __init__(self, redis_url: str, worker_id: str, hosts: Hosts) -> None:
        self._redis = Redis.from_url(
            redis_url, decode_responses=True, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._mailbox, self._bell = mailbox_key(worker_id), bell_channel(worker_id)
        self._hosts = hosts
        self._stopping = False
        self._answering: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """End `run` within `LOOK_S`."""
        self._stopping = True

    async def run(self) -> None:
        """Listen for the bell and look into the mailbox until stopped."""
        while not self._stopping:
            try:
                await self._listen()
            except RedisError as error:
                log.debug("commands_interrupted", error=type(error).__name__)
                await asyncio.sleep(LOOK_S)
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._redis.aclose()

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as bell:
            await bell.subscribe(self._bell)
            while not self._stopping:
                await self._look()
                await bell.get_message(timeout=LOOK_S)

    async def _look(self) -> None:
        """Take every command out of the mailbox and begin to have it done."""
        letters: Any = await self._redis.lpop(self._mailbox, AT_ONCE)
        for text in letters or ():
            try:
                command = Command.model_validate_json(text)
            except ValidationError:
                log.warning("command_unreadable")
                continue
            task = asyncio.create_task(self._answer(command), name=f"command {command.id}")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, command: Command) -> None:
        answer = await self._have_done(command)
        log.info("command", do=command.do, room=command.room, refusal=answer.refusal)
        key = answer_key(command.id)
        try:
            async with self._redis.pipeline() as pipe:
                pipe.rpush(key, answer.model_dump_json())
                pipe.expire(key, LIFE_S)
                await pipe.execute()
        except RedisError as error:
            log.warning("answer_lost", error=type(error).__name__)

    async def _have_done(self, command: Command) -> Answer:
        hosting = self._hosts.of(command.room, command.generation)
        if hosting is None:
            return Answer(refusal="not_live", detail="This worker does not host the session now.")
        answer = hosting.obey(command)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), HOST_ANSWERS_S)
        except TimeoutError:  # and cancelled: the host does not do it later
            return Answer(refusal="no_answer", detail="The session's host does not answer.")
