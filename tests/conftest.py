"""Fixtures that every test may use: real servers, one of each per run, and settings for them."""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness import servers
from protocol.config.settings import Settings
from worker.livekit_private.native_log import disable_native_log_capture


def pytest_sessionstart() -> None:
    """The people of all tests are spared what LiveKit's native library logs, and so is the run."""
    disable_native_log_capture()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Restore the environment after each test.

    `livekit.agents.AgentServer.run` writes LIVEKIT_URL and its key into `os.environ`; a command
    that a later test starts would take them for settings of its user.
    """
    before = dict(os.environ)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(before)


class SettingsFor(Protocol):
    """Makes settings for a test's servers; what it is not told is the product's default."""

    def __call__(
        self,
        *,
        livekit: servers.LiveKit | None = None,
        redis_url: str | None = None,
        **settings: Any,
    ) -> Settings:
        """Give settings that read no environment, no `.env` and no user file."""
        ...


StartLiveKit = Callable[..., AbstractContextManager[servers.LiveKit]]


@pytest.fixture(scope="session")
def servers_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers' configurations and logs lie."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def redis_url(servers_dir: Path) -> Generator[str]:
    """One real redis for the whole run; a test that writes keys uses names of its own."""
    with servers.start_redis(servers_dir) as url:
        yield url


@pytest.fixture(scope="session")
def livekit(servers_dir: Path) -> Generator[servers.LiveKit]:
    """One real LiveKit for the whole run, without redis and webhook; rooms have their own names."""
    with servers.start_livekit(servers_dir) as server:
        yield server


@pytest.fixture
def start_livekit(tmp_path: Path) -> StartLiveKit:
    """A LiveKit of the test's own: `with start_livekit(webhook_url=…) as livekit`."""
    return partial(servers.start_livekit, tmp_path)


@pytest.fixture
def settings_for() -> SettingsFor:
    """A factory of settings that point at the test's servers."""

    def make(
        *,
        livekit: servers.LiveKit | None = None,
        redis_url: str | None = None,
        **settings: Any,
    ) -> Settings:
        if livekit is not None:
            settings = {
                "livekit_url": livekit.url,
                "livekit_public_url": livekit.url,
                "livekit_api_key": livekit.api_key,
                "livekit_api_secret": livekit.api_secret,
            } | settings
        if redis_url is not None:
            settings = {"redis_url": redis_url} | settings
        return servers.GivenSettings(**settings)

    return make
