"""docker-compose.yml, Dockerfile.gpu and Caddyfile fit the code and each other."""

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from deploy import compose, installers
from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from tests.deploy.containers import COMPOSE as SERVICES
from tests.deploy.containers import DOCKERFILE, command, stage
from token_service.app import create_app

PROJECT = installers.PROJECT
COMPOSE = "".join(path.read_text() for path in sorted(PROJECT.glob("docker-compose*.yml")))
CADDYFILE = (PROJECT / "deploy" / "Caddyfile").read_text()
ROUTES = (PROJECT / "deploy" / "routes.caddy").read_text()
LIVEKIT: dict[str, Any] = yaml.safe_load((PROJECT / "livekit.yaml").read_text())
SETTINGS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
OURS = ("token_service", "worker")
PUBLIC = {"python", "node", "livekit/livekit-server", "caddy", "valkey/valkey"}
PUBLIC |= {"prom/prometheus", "grafana/grafana", "jaegertracing/jaeger"}
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")
GOODBYE_S = 25  # of worker.worker and room_process.py, added to the drain's grace


def asked_for(name: str) -> str:
    """Return the URL of an image's health check, from the port on."""
    asked = command(name, "HEALTHCHECK")[-1]
    found = re.search(r"open\('http://127\.0\.0\.1:([^']+)'\)", asked)

    assert found is not None
    return found[1]


def image(argument: str) -> str:
    """Return the image that an ARG of the Dockerfile names."""
    [found] = re.findall(rf"^ARG {argument}=(.+)$", DOCKERFILE, re.M)
    return found


def test_compose_files_follow_the_specification() -> None:
    """The compose files follow the schema of the Compose Specification."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    names = ("docker-compose.yml", "docker-compose.observability.yml")
    done = subprocess.run(
        [*check, *(str(PROJECT / name) for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("ok -- validation done\n", 0)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_variables_are_settings(name: str) -> None:
    """Each variable of our services is a setting."""
    assert set(SERVICES[name]["environment"]) - set(SETTINGS) == set()


def test_livekit_reads_the_variables_of_its_container() -> None:
    """Each variable of LiveKit's container is one that livekit-server reads."""
    done = subprocess.run(
        [installers.livekit_server(), "help-verbose"], capture_output=True, text=True, check=True
    )
    known = set(re.findall(r"\[\$(\w+)\]", done.stdout))

    assert set(SERVICES["livekit"]["environment"]) - known == set()


def test_every_variable_of_compose_is_in_the_example() -> None:
    """`.env.example` names each variable that the compose files take from `.env`."""
    taken = set(
        re.findall(r"\$\{(\w+)|^ +([A-Z_]+):(?: *#.*)?$|environment: ([A-Z_]+)$", COMPOSE, re.M)
    )
    taken = {name for found in taken for name in found if name}
    example = set(re.findall(r"^#?(\w+)=", (PROJECT / ".env.example").read_text(), re.M))

    assert taken - example == set()


@pytest.mark.parametrize("name", OURS)
def test_targets_and_commands_exist(name: str) -> None:
    """The compose file's target is a stage of the Dockerfile, and its command a module of ours."""
    module = command(name, "CMD")[-1]

    assert SERVICES[name]["build"]["target"] == name
    assert command(name, "CMD")[:-1] == ["python", "-m"]
    assert find_spec(f"{module}.__main__") is not None


def test_every_copied_file_is_there_and_not_ignored() -> None:
    """Each source of a COPY exists and is in the build context."""
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
        for source in line.split()[:-1]
    ]
    allowed = re.findall(r"^!([^/\n]+)", (PROJECT / ".dockerignore").read_text(), re.M)

    assert [source for source in sources if not (PROJECT / source).exists()] == []
    assert {source.split("/")[0] for source in sources} - set(allowed) == set()


def test_no_local_environment_gets_into_an_image() -> None:
    """The build context has neither `.env` nor the virtual environment."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()

    assert next(line for line in lines if line and line[0] not in "#!") == "*"
    assert not any(line.startswith(("!.env", "!.venv", "!*", "!.")) for line in lines)


def test_the_ports_of_the_token_service_agree() -> None:
    """Compose, the health check, Caddy and LiveKit's webhook have one port of the token service."""
    port = SERVICES["token_service"]["environment"]["PORT"]

    assert asked_for("token_service") == f"{port}/health"
    assert f"reverse_proxy 127.0.0.1:{{$PORT:{port}}} {{\n" in ROUTES
    assert LIVEKIT["webhook"]["urls"] == [f"http://127.0.0.1:{port}/webhook"]


def test_the_ports_of_livekit_agree() -> None:
    """LiveKit's configuration, our services, Caddy and the health check have one port."""
    port = LIVEKIT["port"]
    at = f"127.0.0.1:{port}"

    assert [SERVICES[name]["environment"]["LIVEKIT_URL"] for name in OURS] == [f"ws://{at}"] * 2
    assert f"reverse_proxy @livekit 127.0.0.1:{{$LIVEKIT_PORT:{port}}}\n" in ROUTES
    assert SERVICES["livekit"]["healthcheck"]["test"][-1] == f"http://{at}/"


def test_the_ports_of_redis_agree() -> None:
    """The redis server and our services have one port."""
    command = SERVICES["redis"]["command"]
    at = f"127.0.0.1:{command[command.index('--port') + 1]}"

    assert [SERVICES[name]["environment"]["REDIS_URL"] for name in OURS] == [f"redis://{at}/0"] * 2


def test_the_workers_health_check_asks_its_port() -> None:
    """The worker's health check asks at WORKER_PORT, with compose's default."""
    default = SERVICES["worker"]["environment"]["WORKER_PORT"]

    assert f"os.environ.get('WORKER_PORT', '{default}')" in command("worker", "HEALTHCHECK")[-1]


def test_paths_of_health_check_and_webhook_exist(settings_for: SettingsFor) -> None:
    """The paths of the health check and of the webhook are routes of the token service."""
    paths = set(create_app(settings_for()).openapi()["paths"])

    assert {"/health", "/webhook"} - paths == set()


def test_livekit_is_the_version_that_the_tests_run() -> None:
    """The tag of LiveKit's image is the version of `deploy.installers`."""
    version = ".".join(map(str, installers.LIVEKIT_VERSION))

    assert image("LIVEKIT_IMAGE").startswith(f"livekit/livekit-server:v{version}@")


def test_the_workers_grace_is_longer_than_its_drain() -> None:
    """The container's grace is longer than drain, goodbye and the end of processes of rooms."""
    given = SERVICES["worker"]["stop_grace_period"]
    for drain, grace_s in ({}, 60 + SETTINGS["DRAIN_GRACE_S"]), ({"DRAIN_GRACE_S": "600"}, 660):
        minutes, seconds = re.findall(r"[\d.]+", compose.filled(given, drain))

        assert int(minutes) * 60 + float(seconds) == grace_s
        assert grace_s > float(drain.get("DRAIN_GRACE_S", SETTINGS["DRAIN_GRACE_S"])) + GOODBYE_S


def test_the_worker_starts_again_whatever_its_status() -> None:
    """The worker is restarted whatever its exit status."""
    assert SERVICES["worker"]["restart"] == "always"


def test_caddy_has_every_file_that_it_imports() -> None:
    """Each file that the Caddyfile imports is copied into the image."""
    imported = re.findall(r"^\s*import (\S+)$", CADDYFILE, re.M)
    [copied] = re.findall(r"^COPY (.+) /etc/caddy/$", stage("caddy"), re.M)

    assert {f"deploy/{name}" for name in ("Caddyfile", *imported)} == set(copied.split())


def test_a_changed_configuration_makes_a_new_container() -> None:
    """No single file is mounted, so that a changed configuration makes a new container."""
    mounted = [
        PROJECT / line.split(":")[0]
        for service in SERVICES.values()
        for line in service.get("volumes", [])
        if isinstance(line, str) and line.startswith("./")
    ]

    assert mounted
    assert [path for path in mounted if not path.is_dir()] == []
    assert "COPY livekit.yaml /etc/livekit.yaml" in stage("livekit")


def test_livekit_asks_no_server_for_its_address() -> None:
    """LiveKit asks no STUN server for its address; `NODE_IP` gives one."""
    assert LIVEKIT["rtc"]["use_external_ip"] is False
    assert LIVEKIT["rtc"]["stun_servers"] == ["127.0.0.1:3478"]
    assert SERVICES["livekit"]["environment"]["NODE_IP"] == "${NODE_IP:-}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_as_few_rights_as_it_can(name: str) -> None:
    """Each container is read-only, without capabilities, and cannot gain any."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert "env_file" not in service  # it would give the container every secret of .env


def test_a_service_has_its_own_secrets_alone() -> None:
    """Each service has its own secrets: the worker the hub's, the token service the callers'."""
    told = {name: set(service["environment"]) for name, service in SERVICES.items()}
    callers = {"API_KEYS_FILE", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL"}

    assert "HF_TOKEN" in told["worker"] - told["token_service"]
    assert callers <= told["token_service"] - told["worker"]
    assert told["caddy"] == {"DOMAIN"}
    assert told["redis"] == set()


def test_every_setting_reaches_the_service_that_reads_it() -> None:
    """Each setting reaches a service, except the folders, which are the image's own."""
    folders = {"PERSONAS_DIR", "WEB_DIR", "VOICES_DIR", "CACHE_DIR"}
    told = {key for name in OURS for key in SERVICES[name]["environment"]}

    assert set(SETTINGS) - folders - told == set()


def test_both_services_read_the_operators_personas() -> None:
    """Both services mount the operator's personas."""
    for name in OURS:
        assert "./personas:/app/personas:ro" in SERVICES[name]["volumes"]


def test_no_image_makes_an_anonymous_volume() -> None:
    """No image makes an anonymous volume."""
    assert re.findall(r"^VOLUME", DOCKERFILE, re.M) == []


def test_docker_creates_no_folder_of_the_operator() -> None:
    """Docker creates no folder of the operator's: it exists, or the start is refused."""
    [keys] = [each for each in SERVICES["token_service"]["volumes"] if isinstance(each, dict)]

    assert keys["bind"] == {"create_host_path": False}
    assert (PROJECT / "voices").is_dir() and (PROJECT / "personas").is_dir()


def test_images_are_pinned_by_version_and_digest() -> None:
    """Each image that we do not build has a version and a digest, and one version everywhere."""
    files = ["Dockerfile.gpu", "deploy/helm/valkey.yaml"]
    files += sorted(path.name for path in PROJECT.glob("docker-compose*.yml"))
    text = "".join((PROJECT / name).read_text() for name in files)
    text = re.sub(r"\$\{\w+_IMAGE:-(.+?)\}", r"\1", text)
    found = set(re.findall(r"^ *(?:image: |FROM |ARG \w+_IMAGE=)(\S+)", text, re.M))
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.M))
    others = {each for each in found if not each.startswith(("moshi-rooms-", "${"))} - stages

    assert {each.partition(":")[0] for each in others if PINNED.fullmatch(each)} == PUBLIC
    assert [each for each in others if not PINNED.fullmatch(each)] == []
    assert len(others) == len(PUBLIC)  # one version of each


def test_the_example_names_the_images() -> None:
    """`.env.example` names each image with its version."""
    example = (PROJECT / ".env.example").read_text()
    names = {name: image(name) for name in re.findall(r"^ARG (\w+_IMAGE)=", DOCKERFILE, re.M)}
    names |= dict(re.findall(r"\$\{(\w+_IMAGE):-(.+?)\}", COMPOSE))

    assert len(names) == len(PUBLIC)
    assert [name for name in names if f"#{name}={names[name]}\n" not in example] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_limits_and_a_health_check(name: str) -> None:
    """Each container has rotated logs, a memory limit and a health check."""
    service = SERVICES[name]

    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert "mem_limit" in service
    assert "healthcheck" in service or "HEALTHCHECK" in stage(service["build"]["target"])
