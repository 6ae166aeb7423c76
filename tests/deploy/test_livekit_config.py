"""LiveKit's configurations, given to the real server."""

import asyncio
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from aiohttp import web
from livekit import api

from deploy import installers, livekit_config
from deploy.lan.local_network import own_address
from deploy.launch.ports import Port, is_free
from harness import servers
from tests.conftest import SettingsFor

KEY, SECRET = "operator", secrets.token_hex(32)


@pytest.fixture
async def webhooks(unused_port: int) -> Any:
    """Run a server that accepts webhooks; yield a queue of their signatures."""
    came: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await came.put(request.headers["Authorization"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_port).start()
    yield came
    await runner.cleanup()


@pytest.fixture
def unused_port() -> int:
    """Return a port for that server."""
    return servers.free_port()


@pytest.fixture
def production(tmp_path: Path, unused_port: int) -> Generator[str]:
    """Run a server with livekit.yaml on free ports of this machine; yield its URL."""
    config: dict[str, Any] = yaml.safe_load((installers.PROJECT / "livekit.yaml").read_text())
    port = servers.free_port()
    config["port"] = port
    config["rtc"] |= {"udp_port": _udp(), "tcp_port": servers.free_port()}
    config["rtc"]["use_external_ip"] = False  # else it would ask a server on the internet
    config["webhook"]["urls"] = [f"http://127.0.0.1:{unused_port}/webhook"]
    path = tmp_path / "livekit.yaml"
    path.write_text(yaml.safe_dump(config))
    url = f"http://127.0.0.1:{port}"
    command = [str(installers.livekit_server()), "--config", str(path)]
    keys = {"LIVEKIT_KEYS": f"{KEY}: {SECRET}", "LIVEKIT_WEBHOOK_API_KEY": KEY}
    log = tmp_path / "livekit.log"
    with servers.running(command, lambda: servers.http_answers(url), log, keys):
        yield url


async def test_livekit_yaml_takes_its_keys_from_the_environment(production: str) -> None:
    """The real server starts with livekit.yaml and accepts the key of the environment."""
    async with api.LiveKitAPI(production, KEY, SECRET) as lkapi:
        room = await lkapi.room.create_room(api.CreateRoomRequest(name="production"))

    assert room.name == "production"


async def test_webhooks_are_signed_with_the_operators_key(
    webhooks: asyncio.Queue[str], production: str
) -> None:
    """Webhooks are signed with the operator's key."""
    async with api.LiveKitAPI(production, KEY, SECRET) as lkapi:
        await lkapi.room.create_room(api.CreateRoomRequest(name="signed"))
        signature = await asyncio.wait_for(webhooks.get(), 20)

    assert jwt.decode(signature, SECRET, algorithms=["HS256"])["iss"] == KEY


@pytest.mark.parametrize("redis", [False, True], ids=["by itself", "with redis"])
async def test_the_development_configuration_starts(
    tmp_path: Path, redis_url: str, settings_for: SettingsFor, redis: bool
) -> None:
    """The real server starts with the configuration that `make run` writes."""
    settings = settings_for(redis_url=redis_url)
    config = livekit_config.development(settings, port=servers.free_port(), redis=redis)
    config["rtc"] |= {"udp_port": _udp(), "tcp_port": servers.free_port()}
    with servers.start_livekit(tmp_path, settings=config) as livekit:
        async with livekit.client() as lkapi:
            room = await lkapi.room.create_room(api.CreateRoomRequest(name="development"))

    assert room.name == "development"


@pytest.mark.parametrize(
    ("node_ip", "own_ip"),
    [
        (livekit_config.LOOPBACK, ""),
        (livekit_config.LOOPBACK, own_address()),
        ("203.0.113.7", ""),
    ],
)
def test_the_ports_of_media_are_held_where_we_look(
    tmp_path: Path, settings_for: SettingsFor, redis_url: str, node_ip: str, own_ip: str
) -> None:
    """The real server holds the media ports on the hosts that `make run` looks at."""
    settings, port = settings_for(redis_url=redis_url), servers.free_port()
    config = livekit_config.development(settings, port=port, node_ip=node_ip, own_ip=own_ip)
    config["rtc"] |= {"udp_port": _udp(), "tcp_port": servers.free_port()}
    media = [
        Port(config["rtc"]["tcp_port"], "", "", livekit_config.TCP_HOST),
        Port(config["rtc"]["udp_port"], "", "", livekit_config.udp_host(node_ip, own_ip), "udp"),
    ]
    if own_ip:
        udp = media[-1].number
        media += [Port(udp, "", "", host, "udp") for host in (livekit_config.LOOPBACK, own_ip)]
    with servers.start_livekit(tmp_path, settings=config):
        assert not any(is_free(port) for port in media)


def test_media_stay_on_this_machine_by_default(settings_for: SettingsFor) -> None:
    """Without any other address LiveKit's media use the loopback alone."""
    rtc = livekit_config.development(settings_for(), port=7880)["rtc"]

    assert rtc == {
        "tcp_port": 7881,
        "udp_port": 7882,
        "use_external_ip": False,
        "node_ip": "127.0.0.1",
        "enable_loopback_candidate": True,
        "interfaces": {"includes": ["lo"]},
        "stun_servers": ["127.0.0.1:3478"],
    }


def test_a_node_address_opens_the_network(settings_for: SettingsFor) -> None:
    """Media use any interface if there is a node address, and no STUN server is asked."""
    rtc = livekit_config.development(settings_for(), port=7880, node_ip="192.168.1.5")["rtc"]

    assert (rtc["node_ip"], "interfaces" in rtc) == ("192.168.1.5", False)
    assert rtc["stun_servers"] == ["127.0.0.1:3478"]


def test_redis_is_reached_as_the_settings_say(settings_for: SettingsFor) -> None:
    """LiveKit's redis has the user, password, database and TLS of REDIS_URL."""
    settings = settings_for(redis_url="rediss://me:secret@redis.example.com:6380/2")

    assert livekit_config.development(settings, port=7880, redis=True)["redis"] == {
        "address": "redis.example.com:6380",
        "db": 2,
        "username": "me",
        "password": "secret",
        "use_tls": True,
    }


@pytest.mark.parametrize("single", ["development", "production"])
def test_a_single_livekit_needs_no_redis(settings_for: SettingsFor, single: str) -> None:
    """A single LiveKit is configured without redis."""
    production = yaml.safe_load((installers.PROJECT / "livekit.yaml").read_text())
    development = livekit_config.development(settings_for(), port=7880)

    assert "redis" not in {"development": development, "production": production}[single]


def _udp() -> int:
    return servers.free_port(servers.socket.SOCK_DGRAM)
