"""A real S3-compatible server, and both places that recordings can be stored in."""

import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from harness import servers
from protocol.config.settings import Settings
from tests.conftest import SettingsFor

BUCKET = "calls"
KEY = {"record_s3_access_key": "testing", "record_s3_secret_key": "testing"}


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Run moto's server with an empty bucket; yield its address."""
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url, trust_env=False).status_code < 500
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("s3") / "s3.log"
    with servers.running(command, answers, log):
        yield url


@pytest.fixture(params=["folder", "bucket"])
def stored(request: pytest.FixtureRequest, settings_for: SettingsFor, tmp_path: Path) -> Settings:
    """Return settings for an empty folder, and for an empty bucket."""
    if request.param == "folder":
        return settings_for(record_dir=tmp_path / "recordings")
    return request.getfixturevalue("bucket")


@pytest.fixture
def bucket(s3_url: str, settings_for: SettingsFor, tmp_path: Path) -> Settings:
    """Return settings for an empty bucket."""
    httpx.post(f"{s3_url}/moto-api/reset", trust_env=False)
    httpx.put(f"{s3_url}/{BUCKET}", trust_env=False).raise_for_status()
    return settings_for(
        record_s3_bucket=BUCKET,
        record_s3_endpoint=s3_url,
        record_dir=tmp_path / "waiting",
        **KEY,
    )
