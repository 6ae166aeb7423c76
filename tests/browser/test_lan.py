"""A call over https and wss: `make run HOST=…` with its own certificate, in a real Chromium."""

import base64
import hashlib
import ssl
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy import livekit_config
from deploy.launch import run
from harness import launched
from harness.launched import READY_WITHIN_S, Launched
from harness.servers import free_port
from harness.stack import Stack
from tests.browser.chromium import chromium_that_hears
from tests.browser.conftest import open_visit
from tests.browser.microphone import write_voice

# Every machine has this address, and the launcher has another. Media use 127.0.0.1.
HOST = "127.0.0.2"


@dataclass(frozen=True)
class Network:
    """The product as devices of a local network see it."""

    product: Launched
    page: str
    welcome: str
    authority: Path
    secret: str = field(repr=False)

    @property
    def pin(self) -> str:
        """Return Chromium's switch that makes it trust the certificate's authority."""
        authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
        key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
        return f"--ignore-certificate-errors-spki-list={pin}"

    def client(self) -> httpx.Client:
        """Return a client that trusts the authority from the welcome page."""
        trusting = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(base_url=self.page, verify=trusting, trust_env=False)

    def shown(self) -> str:
        """Return the log and all command lines, which every user of the machine can read."""
        lines: list[str] = []
        for process in self.product.family():
            with suppress(psutil.NoSuchProcess):
                lines += process.cmdline()
        return "\n".join([self.product.said(), *lines])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Generator[Network]:
    """Run `make run HOST=…`, and fetch the certificate as a phone does."""
    folder = tmp_path_factory.mktemp("lan")
    settings = launched.addresses(folder) | {
        "HOST": HOST,
        "NODE_IP": "127.0.0.1",
        "HTTPS_PORT": str(free_port()),
    }
    page, welcome = f"https://{HOST}:{settings['HTTPS_PORT']}", f"http://{HOST}:{settings['PORT']}"
    with launched.make_run(folder / "log", settings) as product:
        product.wait_until_said(f"Open {page} and talk", READY_WITHIN_S)
        answer = httpx.get(f"{welcome}/authority.crt", trust_env=False)
        authority = folder / "authority.pem"
        authority.write_bytes(answer.content)
        written = livekit_config.file_in(run.FOLDER, int(settings["LIVEKIT_PORT"]))
        [secret] = yaml.safe_load(written.read_text())["keys"].values()

        assert answer.headers["content-type"] == "application/x-x509-ca-cert"
        yield Network(product, page, welcome, authority, secret)


def test_a_device_that_trusts_the_certificate_finds_the_page(network: Network) -> None:
    """Over TLS the page names LiveKit at the same address, and internal routes are not there."""
    with network.client() as https:
        config = https.get("/api/config")
        inner = [https.get(path).status_code for path in ("/metrics", "/webhook")]

    assert config.json()["livekit_url"] == network.page.replace("http", "ws", 1)
    assert network.secret not in config.text
    assert inner == [404, 404]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_in_a_local_network(network: Network, stack: Stack, tmp_path: Path) -> None:
    """A call uses https and wss only, and no secret is in the log or a command line."""
    async with (
        chromium_that_hears(write_voice(tmp_path / "voice.wav"), network.pin) as browser,
        open_visit(browser, stack, network.page) as visit,
    ):
        await visit.call("Assistant")
        await visit.hears(voices=1)

        assert await visit.page.evaluate("isSecureContext")
        assert visit.origins <= {network.page, network.page.replace("http", "ws", 1)}
        assert visit.complaints == []
    seen = network.shown()

    assert f"scan this, or open {network.welcome}" in seen
    assert network.secret not in seen
