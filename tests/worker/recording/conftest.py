"""Where recordings may be kept: a folder, and a bucket of an S3-compatible server."""

import json
import sys
from collections.abc import Generator
from pathlib import Path

import boto3
import httpx
import pytest

from harness import servers
from protocol.config.settings import Settings
from tests.conftest import SettingsFor

BUCKET = "calls"
RIGHTS = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
REQUESTS_THAT_SET_UP = 4  # of `bucket`; moto checks the signature of every later one


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
    """Return settings for an empty folder, then for an empty bucket."""
    if request.param == "folder":
        return settings_for(record_dir=tmp_path / "recordings")
    return request.getfixturevalue("bucket")


@pytest.fixture
def bucket(s3_url: str, settings_for: SettingsFor, tmp_path: Path) -> Settings:
    """Return settings for an empty bucket, with the only key that may use it."""
    for reset, content in ("reset", ""), ("reset-auth", str(REQUESTS_THAT_SET_UP)):
        url = f"{s3_url}/moto-api/{reset}"
        httpx.post(url, content=content, trust_env=False).raise_for_status()
    unknown = boto3.Session("any", "any", region_name="us-east-1")
    iam = unknown.client("iam", endpoint_url=s3_url)
    iam.create_user(UserName="worker")
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    rights = json.dumps({"Version": "2012-10-17", "Statement": [RIGHTS]})
    iam.put_user_policy(UserName="worker", PolicyName="bucket", PolicyDocument=rights)
    unknown.client("s3", endpoint_url=s3_url).create_bucket(Bucket=BUCKET)
    return settings_for(
        record_s3_bucket=BUCKET,
        record_s3_endpoint=s3_url,
        record_s3_access_key=key["AccessKeyId"],
        record_s3_secret_key=key["SecretAccessKey"],
        record_dir=tmp_path / "waiting",
    )
