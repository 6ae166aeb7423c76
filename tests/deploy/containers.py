"""The services of docker compose, run without docker: as processes, in images' folders."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
import yaml
from dotenv import dotenv_values

from deploy import compose, installers, keys
from deploy.private_file import write_privately
from harness import servers

PROJECT = installers.PROJECT
COMPOSE = compose.services()
DOCKERFILE = (PROJECT / "Dockerfile.gpu").read_text()
USER = 10001  # the user of the image, by its Dockerfile
ON_THIS_MACHINE = {
    "use_external_ip": False,
    "advertise_internal_ip": False,
    "node_ip": "127.0.0.1",
    "enable_loopback_candidate": True,
    "interfaces": {"includes": ["lo"]},
    "stun_servers": ["127.0.0.1:3478"],  # unused: by default clients ask public ones
}
ROOT_PATH = "/voice"  # of the page; each path answers without it, too
PORTS = (6379, 7880, 8080, 8081)
READY_WITHIN_S = 90.0


def stage(name: str) -> str:
    """Return the lines of one stage of the Dockerfile, each instruction on one line."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)

    assert found is not None, f"no stage {name}"
    return found[1].replace("\\\n", " ")


def command(name: str, instruction: str) -> list[str]:
    """Return the command of `CMD` or of the health check."""
    pattern = r"^CMD (\[.*\])$" if instruction == "CMD" else r"^HEALTHCHECK .*?CMD (\[.*\])$"
    found = re.search(pattern, stage(name), re.M)

    assert found is not None, f"{name} has no {instruction}"
    return json.loads(found[1])


@cache
def as_its_user() -> tuple[str, ...]:
    """Return a prefix that runs a command as the image's user, or nothing if it fails here."""
    prefix = ("unshare", "--user", f"--map-user={USER}", f"--map-group={USER}")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()


@dataclass(frozen=True)
class Host:
    """A host on which everything runs, with ports of its own in place of the files'."""

    folder: Path
    moved: dict[int, int]
    https: str  # where Caddy serves the domain
    authority: Path  # the authority that signed the domain's certificate
    api_key: str = field(repr=False)  # which `make keys` showed
    secret: str = field(repr=False)  # which it did not show

    def at(self, text: str) -> str:
        """Return a text of the files with the ports of this host."""
        pattern = rf"\b({'|'.join(map(str, self.moved))})\b"
        return re.sub(pattern, lambda found: str(self.moved[int(found[0])]), text)

    def is_well(self, name: str) -> bool:
        """Return whether the image's health check passes."""
        asked = [self.at(part) for part in command(name, "HEALTHCHECK")]
        return _run(asked, self.folder, {}).returncode == 0

    def logs(self) -> str:
        """Return all logs."""
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


def _run(asked: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *asked[1:]],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def environment(host: Host, name: str) -> dict[str, str]:
    """Return a service's environment: `.env` and its own lines, filled in as compose does."""
    read = dotenv_values(host.folder / ".env")
    given = {key: value for key, value in read.items() if value is not None}
    return {key: host.at(value) for key, value in compose.environment(name, given).items()}


def lay_out(host: Host, name: str) -> Path:
    """Make an image's root with its COPY lines and volumes, /app read-only; return its path."""
    root = host.folder / name
    without_caches = shutil.ignore_patterns("__pycache__")
    for line in re.findall(r"^COPY (.+)$", stage("base") + stage(name), re.M):
        *_, source, target = line.split()
        if "_packages" not in line:  # the virtual environment is this machine's
            source = source.removeprefix("/")  # of the stage `page`: web/dist
            shutil.copytree(PROJECT / source, root / "app" / target, ignore=without_caches)
    for volume in COMPOSE[name]["volumes"]:
        if isinstance(volume, dict):
            volume = f"{volume['source']}:{volume['target']}"
        outside, inside, *_ = volume.split(":")
        if (host.folder / outside).is_dir():
            shutil.copytree(host.folder / outside, root / inside.strip("/"), dirs_exist_ok=True)
    (root / "weights").mkdir()
    for path in [root / "app", *(root / "app").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return root


def image_environment(root: Path, name: str) -> dict[str, str]:
    """Return the ENV lines with the paths of this root, and this machine's PATH and Python."""
    lines = re.findall(r"^ENV (.*)$", stage("base") + stage(name), re.M)
    given = dict(part.split("=", 1) for line in lines for part in line.split())
    del given["PATH"]
    inside = {name: value.replace("/weights", f"{root}/weights") for name, value in given.items()}
    return inside | {"HOME": str(root / "weights")}


@contextmanager
def ours(host: Host, name: str) -> Generator[int]:
    """Run one of our containers; yield its pid."""
    root = lay_out(host, name)
    line = [*as_its_user(), sys.executable, *command(name, "CMD")[1:]]
    env = image_environment(root, name) | environment(host, name)
    log = host.folder / f"{name}.log"
    with servers.running(line, lambda: True, log, env, root / "app") as process:
        yield process.pid


@contextmanager
def redis(host: Host) -> Generator[None]:
    """Run the redis of the compose file."""
    port = host.moved[6379]
    line = [str(installers.redis_server()), *map(host.at, COMPOSE["redis"]["command"][1:])]
    url = f"redis://127.0.0.1:{port}/0"
    data = host.folder / "redis"
    data.mkdir()
    with servers.running(
        line, lambda: servers.redis_answers(url), host.folder / "redis.log", cwd=data
    ):
        yield


@contextmanager
def livekit(host: Host) -> Generator[None]:
    """Run the LiveKit of the compose file, its media on this machine alone."""
    config = yaml.safe_load(host.at((PROJECT / "livekit.yaml").read_text()))
    udp = servers.free_port(socket.SOCK_DGRAM)
    config["rtc"] |= {"udp_port": udp, "tcp_port": servers.free_port(), **ON_THIS_MACHINE}
    (host.folder / "livekit.yaml").write_text(yaml.safe_dump(config))
    line = [str(installers.livekit_server()), "--config", str(host.folder / "livekit.yaml")]
    url = f"http://127.0.0.1:{host.moved[7880]}"
    log = host.folder / "livekit.log"
    env = environment(host, "livekit")
    with servers.running(line, lambda: servers.http_answers(url), log, env):
        yield


@contextmanager
def caddy(host: Host) -> Generator[None]:
    """Run the Caddy of the compose file, with a certificate of its own authority for localhost."""
    own = host.folder / "Caddyfile"
    of_this_machine = (
        "{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\n"
        f"storage file_system {host.folder}/caddy\n"
    )
    text = (PROJECT / "deploy" / "Caddyfile").read_text().replace("{\n", of_this_machine, 1)
    own.write_text(text.replace("import ", f"import {PROJECT}/deploy/"))
    line = [str(installers.caddy()), "run", "--adapter", "caddyfile", "--config", str(own)]
    env = environment(host, "caddy")
    env |= {"LIVEKIT_PORT": str(host.moved[7880]), "PORT": str(host.moved[8080])}
    with servers.running(line, host.authority.exists, host.folder / "caddy.log", env):
        yield


@contextmanager
def started(folder: Path) -> Generator[Host]:
    """Run every service; yield the host once both containers are well or have ended."""
    host = make_host(folder)
    with ExitStack() as stack:
        for server in (redis, livekit, caddy):
            stack.enter_context(server(host))
        pids = [stack.enter_context(ours(host, name)) for name in ("token_service", "worker")]

        def well_or_ended() -> bool:
            ended = not all(map(psutil.pid_exists, pids))
            return ended or (host.is_well("token_service") and host.is_well("worker"))

        servers.wait_until(well_or_ended, "the containers are healthy", READY_WITHIN_S, 0.5)
        yield host


def make_host(folder: Path) -> Host:
    """Run `make keys` and fill in what an operator does; return the host."""
    domain = f"localhost:{servers.free_port()}"
    api_key = write_env(folder, domain)
    with (folder / ".env").open("a") as env:
        env.write(f"ROOT_PATH={ROOT_PATH}\n")
    secret = keys.value_of((folder / ".env").read_text(), "LIVEKIT_API_SECRET")
    moved = {port: servers.free_port() for port in PORTS}
    authority = folder / "caddy/pki/authorities/local/root.crt"
    return Host(folder, moved, f"https://{domain}", authority, api_key, secret)


def write_env(folder: Path, domain: str) -> str:
    """Write `.env` as an operator does, for an echo; return the API key of `make keys`."""
    shutil.copy(PROJECT / ".env.example", folder)
    made = subprocess.run(
        [sys.executable, "-m", "deploy.keys", "--project", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    [api_key] = re.findall(r"^==>     (\S+)$", made.stdout, re.M)
    text = (folder / ".env").read_text()
    for name, value in {"DOMAIN": domain, "AUTH_MODE": "api_keys", "MODEL": "echo"}.items():
        text = keys.with_value(text, name, value)
    write_privately(folder / ".env", text)
    return api_key
