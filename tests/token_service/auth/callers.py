"""Helpers for tests of authentication: a running app, an issuer of JWTs, a file of API keys."""

import json
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from harness.http_server import QuietHandler, serving
from protocol.config.settings import Settings
from token_service.app import create_app
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope

EVERY_SCOPE = frozenset(Scope)


@asynccontextmanager
async def app(
    settings: Settings, address: str = "203.0.113.7", url: str = "https://rooms.example"
) -> AsyncGenerator[httpx.AsyncClient]:
    """Run an app with these settings; yield a client that calls it from an address by a URL."""
    running = create_app(settings)
    transport = httpx.ASGITransport(running, client=(address, 1234))
    async with (
        running.router.lifespan_context(running),
        httpx.AsyncClient(transport=transport, base_url=url) as client,
    ):
        yield client


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a bearer."""
    return {"Authorization": f"Bearer {token}"}


class Issuer:
    """An issuer of JWTs, as an operator has one: it signs users' JWTs and publishes its key."""

    audience = "moshi-rooms"
    name = "https://users.example"

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = "k1"
        self.answer: str | None = None  # a body that replaces the published keys
        self.delay_s = 0.0  # before it answers
        self.asked = 0  # times that its keys were fetched

    def jwks(self) -> str:
        """Return the set of keys that the issuer publishes."""
        if self.answer is not None:
            return self.answer
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [public | {"kid": self.key_id, "use": "sig", "alg": "ES256"}]})

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish that one."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = f"k{uuid4()}"

    def token(
        self, key: Any = None, algorithm: str = "ES256", key_id: str | None = None, **claims: Any
    ) -> str:
        """Return a user's JWT, valid unless `claims` differ; a claim of `None` is left out."""
        usual = {"iss": self.name, "aud": self.audience, "sub": "ann", "exp": time.time() + 60}
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        key = "" if algorithm == "none" else key or self.key
        return jwt.encode(said, key, algorithm=algorithm, headers={"kid": key_id or self.key_id})

    def settings(self) -> dict[str, Any]:
        """Return the settings of a service that trusts this issuer."""
        return {
            "auth_mode": ("jwt",),
            "jwt_issuer": self.name,
            "jwt_audience": self.audience,
            "jwt_jwks_url": self.url,
        }


@contextmanager
def issuing() -> Generator[Issuer]:
    """Run an issuer whose keys can be fetched over HTTP."""

    class Publishes(QuietHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            time.sleep(issuer.delay_s)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(issuer.jwks().encode())

    with serving(Publishes) as port:
        issuer = Issuer(f"http://127.0.0.1:{port}/jwks.json")
        yield issuer


class Keys:
    """A file of API keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, name: str, *scopes: Scope) -> dict[str, str]:
        """Add a key to the file; return the header of a caller that has it."""
        key, stored = make_key(name, frozenset(scopes) or EVERY_SCOPE)
        add_key(self.path, stored)
        return bearer(key)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return answer.status_code, answer.json()["error"]
