"""docker-compose.yml, Dockerfile.gpu and Caddyfile fit the code and each other."""

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from deploy import installers
from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from tests.deploy.containers import COMPOSE as SERVICES
from tests.deploy.containers import DOCKERFILE, command, stage
from token_service.app import create_app

PROJECT = installers.PROJECT
COMPOSE = (PROJECT / "docker-compose.yml").read_text()
CADDYFILE = (PROJECT / "deploy" / "Caddyfile").read_text()
ROUTES = (PROJECT / "deploy" / "routes.caddy").read_text()
LIVEKIT: dict[str, Any] = yaml.safe_load((PROJECT / "livekit.yaml").read_text())
SETTINGS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
OURS = ("token_service", "worker")
GOODBYE_S = 5  # worker.__main__, on top of the drain's grace


def asked_for(name: str) -> str:
    """Return the URL of an image's health check."""
    found = re.search(r"urlopen\('http://127\.0\.0\.1:([^']+)'\)", command(name, "HEALTHCHECK")[-1])

    assert found is not None
    return found[1]


def test_the_compose_file_follows_the_specification() -> None:
    """Checked against the Compose Specification's own schema."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*check, str(PROJECT / "docker-compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("ok -- validation done\n", 0)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_told_settings_that_exist(name: str) -> None:
    """Every variable of our services is a setting."""
    assert set(SERVICES[name]["environment"]) - set(SETTINGS) == set()


def test_livekit_is_told_variables_that_it_reads() -> None:
    """Keys come from the environment, under the names that livekit-server lists."""
    done = subprocess.run(
        [installers.livekit_server(), "help-verbose"], capture_output=True, text=True, check=True
    )
    known = set(re.findall(r"\[\$(\w+)\]", done.stdout))

    assert set(SERVICES["livekit"]["environment"]) - known == set()


def test_everything_that_the_operator_fills_in_is_in_the_example() -> None:
    """`.env.example` names each variable that the compose file takes from `.env`."""
    taken = set(re.findall(r"\$\{(\w+)", COMPOSE))
    example = set(re.findall(r"^#?(\w+)=", (PROJECT / ".env.example").read_text(), re.M))

    assert taken - example == set()


@pytest.mark.parametrize("name", OURS)
def test_targets_and_commands_exist(name: str) -> None:
    """The compose file's target is a stage of the Dockerfile, its command a module of ours."""
    module = command(name, "CMD")[-1]

    assert SERVICES[name]["build"]["target"] == name
    assert command(name, "CMD")[:-1] == ["python", "-m"]
    assert find_spec(f"{module}.__main__") is not None


def test_every_copied_file_is_there_and_not_ignored() -> None:
    """Each COPY of the Dockerfile finds its source in the build context."""
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
        for source in line.split()[:-1]
    ]
    allowed = re.findall(r"^!([^/\n]+)", (PROJECT / ".dockerignore").read_text(), re.M)

    assert [source for source in sources if not (PROJECT / source).exists()] == []
    assert {source.split("/")[0] for source in sources} - set(allowed) == set()


def test_no_local_environment_gets_into_an_image() -> None:
    """The build context begins empty and lets in neither `.env` nor the virtual environment."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()

    assert next(line for line in lines if line and line[0] not in "#!") == "*"
    assert not any(line.startswith(("!.env", "!.venv", "!*", "!.")) for line in lines)


def test_the_ports_of_the_token_service_agree() -> None:
    """Container, health check, Caddy and LiveKit's webhook mean one port."""
    port = SERVICES["token_service"]["environment"]["PORT"]

    assert asked_for("token_service") == f"{port}/health"
    assert f"reverse_proxy 127.0.0.1:{{$PORT:{port}}} {{\n" in ROUTES
    assert LIVEKIT["webhook"]["urls"] == [f"http://127.0.0.1:{port}/webhook"]


def test_the_ports_of_livekit_agree() -> None:
    """Configuration, our services, Caddy and the health check mean one port."""
    port = LIVEKIT["port"]
    at = f"127.0.0.1:{port}"

    assert [SERVICES[name]["environment"]["LIVEKIT_URL"] for name in OURS] == [f"ws://{at}"] * 2
    assert f"reverse_proxy @livekit 127.0.0.1:{{$LIVEKIT_PORT:{port}}}\n" in ROUTES
    assert SERVICES["livekit"]["healthcheck"]["test"][-1] == f"http://{at}/"


def test_the_ports_of_redis_agree() -> None:
    """The server and our services mean one port."""
    command = SERVICES["redis"]["command"]
    at = f"127.0.0.1:{command[command.index('--port') + 1]}"

    assert [SERVICES[name]["environment"]["REDIS_URL"] for name in OURS] == [f"redis://{at}/0"] * 2


def test_the_worker_is_asked_where_it_answers() -> None:
    """The worker's health check asks its port."""
    assert asked_for("worker") == f"{SERVICES['worker']['environment']['WORKER_PORT']}/"


def test_paths_that_others_ask_for_exist(settings_for: SettingsFor) -> None:
    """Health check and webhook are routes of the token service."""
    paths = set(create_app(settings_for()).openapi()["paths"])

    assert {"/health", "/webhook"} - paths == set()


def test_livekit_is_the_version_that_the_tests_run() -> None:
    """The image's tag is the version of `deploy.installers`."""
    version = ".".join(map(str, installers.LIVEKIT_VERSION))

    assert SERVICES["livekit"]["image"] == f"livekit/livekit-server:v{version}"


def test_the_worker_has_time_to_say_goodbye() -> None:
    """The container's grace is longer than the drain and the goodbye."""
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))

    assert grace_s > SETTINGS["DRAIN_GRACE_S"] + GOODBYE_S


def test_the_worker_starts_again_whatever_its_status() -> None:
    """The worker ends with 0 where LiveKit stays away; it must come back all the same."""
    assert SERVICES["worker"]["restart"] == "always"


def test_caddy_has_every_file_that_it_imports() -> None:
    """Files that the Caddyfile imports are mounted beside it."""
    imported = re.findall(r"^\s*import (\S+)$", CADDYFILE, re.M)
    mounted = {line.split(":")[1] for line in SERVICES["caddy"]["volumes"]}

    assert {f"/etc/caddy/{name}" for name in imported} - mounted == set()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_watched_and_bounded(name: str) -> None:
    """Logs rotate, memory ends, a health check says whether it works."""
    service = SERVICES[name]

    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert "mem_limit" in service
    assert "healthcheck" in service or "HEALTHCHECK" in stage(service["build"]["target"])
