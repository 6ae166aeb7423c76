"""A redis that has become a replica: what is told, and the way to its primary."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError, ResponseError

from harness.servers import start_redis
from protocol.config.settings import Settings
from protocol.redis.client import open_redis
from tests.token_service.auth.callers import app, refused
from tests.token_service.players import beat
from token_service.refusals import redis_trouble


class Address:
    """One address for two servers, as a Service of Kubernetes or a balancer is."""

    def __init__(self, url: str) -> None:
        self.url = url  # of the server to which new connections lead

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.url.removeprefix("redis://").partition("/")[0].partition(":")
        back, forth = await asyncio.open_connection(host, int(port))

        async def one_way(a: asyncio.StreamReader, b: asyncio.StreamWriter) -> None:
            while data := await a.read(65536):
                b.write(data)
            b.close()

        await asyncio.gather(one_way(reader, forth), one_way(back, writer))

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[str]:
        """Pass connections on; yield the address."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        server.close()


async def test_after_a_failover_clients_find_the_new_primary(tmp_path: Path) -> None:
    """A client that is refused by a replica connects anew, where it is led to the primary."""
    with start_redis(tmp_path) as old, start_redis(tmp_path) as new:
        address = Address(old)
        async with (
            address.listen() as url,
            Redis.from_url(old) as before,
            open_redis(url, decode_responses=True) as redis,
        ):
            await redis.set("a", "1")
            await before.replicaof("127.0.0.1", "1")
            address.url = new
            with pytest.raises(ReadOnlyError):
                await redis.set("a", "2")
            await redis.set("a", "3")
            async with redis.pipeline() as pipe:
                pipe.set("b", "4")
                await pipe.execute()
            found = await redis.mget("a", "b")

    assert found == ["3", "4"]


async def test_a_redis_that_takes_no_writes_is_not_ready(
    settings: Settings, tmp_path: Path
) -> None:
    """`/ready`, `/status` and `/token` tell the refusal; nothing there reads as ready."""
    with start_redis(tmp_path) as url:
        async with Redis.from_url(url) as redis:
            await beat(redis)
            told = settings.model_copy(update={"redis_url": url})
            async with app(told, "127.0.0.1", "http://localhost") as http:
                await http.get("/ready")
                await redis.replicaof("127.0.0.1", "1")
                http._transport.app.state.service.space._checked_s = 0.0  # type: ignore[attr-defined]
                ready, status = [(await http.get(at)).json() for at in ("/ready", "/status")]
                answer = await http.post("/token")

    sentence = "Redis refuses a command: READONLY."
    assert (ready["ready"], ready["code"], ready["reason"]) == (False, "redis_refuses", sentence)
    assert status["redis"] == sentence
    assert (*refused(answer), answer.json()["detail"]) == (503, "redis_refuses", sentence)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ResponseError("MISCONF Redis is configured to save"), ("redis_refuses", "MISCONF")),
        (AuthenticationError("invalid", status_code="WRONGPASS"), ("redis_refuses", "WRONGPASS")),
    ],
)
def test_a_refusal_of_redis_is_told_by_its_code(error: RedisError, told: tuple[str, str]) -> None:
    """A refusal names redis's own code; a wrong password is one, and not a redis that is away."""
    trouble = redis_trouble(error)

    assert (trouble.code, str(trouble)) == (told[0], f"Redis refuses a command: {told[1]}.")
