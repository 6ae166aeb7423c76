"""The chart's pods: settings, secrets, rights and grace fit the code and the images."""

import re
from typing import Any

import pytest

from deploy.advisories import locked
from protocol.config.production import refuse_unsafe
from protocol.config.settings import Settings, load_settings
from tests.deploy.containers import USER, command, stage
from tests.deploy.helm import chart
from tests.deploy.helm.chart import PROJECT, VALUES, container, pod
from worker.room_process.room_process import STOP_WITHIN_S
from worker.worker import GOODBYE_S

PARTS = ("token-service", "worker")
SECRETS = {
    "LIVEKIT_API_KEY": "moshi-rooms",
    "LIVEKIT_API_SECRET": "a-secret-of-at-least-thirty-two-bytes",
    "REDIS_URL": "redis://valkey:6379/0",
}


def settings_of(
    name: str, part: str, monkeypatch: pytest.MonkeyPatch, **secrets: str
) -> tuple[dict[str, str], Settings]:
    """Return a pod's variables, and the settings that its process reads from them."""
    given = chart.environment(name, part, SECRETS | secrets)
    for key in Settings.model_fields:
        monkeypatch.delenv(key.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setitem(Settings.model_config, "toml_file", None)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    return given, load_settings()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", VALUES)
def test_pods_variables_are_valid_settings(
    name: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable of a pod is a valid setting, and production refuses none of them."""
    given, settings = settings_of(name, part, monkeypatch)
    known = {key.upper() for key in Settings.model_fields} | {"POD_NAME"}

    assert set(given) <= known
    assert settings.production
    refuse_unsafe(settings, serves_people=part == "token-service")


def test_values_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart's own values and `env` reach the settings of both services."""
    _, service = settings_of("everything", "token-service", monkeypatch)
    _, worker = settings_of("everything", "worker", monkeypatch, HF_TOKEN="of the hub")

    assert service.livekit_public_url == "wss://livekit.example.com"
    assert (service.auth_mode, service.trusted_proxies) == (("api_keys",), "10.0.0.0/8")
    assert service.rate_per_caller == "60/minute"
    assert str(service.audit_log) == "/audit/a-pod.jsonl"
    assert (worker.capacity, worker.drain_grace_s, worker.device) == (24, 600, "cuda")
    assert worker.hf_token is not None


def test_env_refuses_settings_that_the_chart_sets() -> None:
    """`env` refuses each variable that the chart sets itself."""
    helpers = (chart.CHART / "templates/_helpers.tpl").read_text()
    [refused] = re.findall(r'define "ownSettings" -}}([^{]+)', helpers)
    named = {each["name"] for part in PARTS for each in container("everything", part)["env"]}

    assert set(refused.split()) == named - {
        "POD_NAME",
        "RATE_PER_CALLER",
        "CAPACITY",
        "RECORD_DAYS",
    }


@pytest.mark.parametrize("name", VALUES)
def test_a_service_has_its_own_secrets_alone(name: str) -> None:
    """Secrets come from one Secret, and the hub's and the minds' are the worker's alone."""
    told = {
        part: {
            each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
            for each in container(name, part)["env"]
            if "secretKeyRef" in each.get("valueFrom", {})
        }
        for part in PARTS
    }

    both = {*SECRETS, "RECORD_S3_SECRET_KEY"}
    assert set(told["token-service"]) == both
    assert set(told["worker"]) == both | {"HF_TOKEN", "MIND_API_KEY"}
    assert {*told["token-service"].values(), *told["worker"].values()} == {"moshi-rooms"}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", VALUES)
def test_every_container_has_as_few_rights_as_it_can(name: str, part: str) -> None:
    """Each container is read-only, not root, and has neither capabilities nor a token."""
    spec = pod(name, part)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (
        True,
        USER,
    )
    for each in [*spec["containers"], *spec.get("initContainers", [])]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    mounted = [mount["name"] for mount in spec["containers"][0]["volumeMounts"]]
    assert "account" not in mounted


@pytest.mark.parametrize("part", PARTS)
def test_both_services_read_the_same_personas(part: str) -> None:
    """Both services mount the operator's personas."""
    mounts = {
        each["mountPath"]: each["name"] for each in container("everything", part)["volumeMounts"]
    }
    [volume] = [
        each for each in pod("everything", part)["spec"]["volumes"] if each["name"] == "personas"
    ]

    assert mounts["/app/personas"] == "personas"
    assert volume["configMap"] == {"name": "own-personas"}


@pytest.mark.parametrize("part", PARTS)
def test_pods_run_the_images_command_on_its_port(part: str) -> None:
    """A pod runs its image's command, and its port is the setting's and the image's."""
    image = part.replace("-", "_")
    given = chart.environment("least", part, SECRETS)
    [port] = container("least", part)["ports"]

    assert not {"command", "args"} & set(container("least", part))
    assert command(image, "CMD")[:-1] == ["python", "-m"]
    assert given["WORKER_PORT" if part == "worker" else "PORT"] == str(port["containerPort"])
    assert re.findall(r"^EXPOSE (\d+)$", stage(image), re.M) == [str(port["containerPort"])]


def test_every_written_folder_has_a_volume() -> None:
    """Each folder of the image's ENV lies in a mounted volume."""
    lines = re.findall(r"^ENV (.*)$", stage("worker"), re.M)
    folders = [part.split("=", 1)[1] for line in lines for part in line.split()]
    mounted = {each["mountPath"] for each in container("least", "worker")["volumeMounts"]}

    assert folders
    assert all(any(folder.startswith(f"{each}/") for each in mounted) for folder in folders)
    assert {"/tmp", "/dev/shm"} <= mounted


@pytest.mark.parametrize(("name", "drain_s"), [("least", 60), ("everything", 600)])
def test_the_workers_grace_is_longer_than_its_drain(name: str, drain_s: int) -> None:
    """The worker's grace follows DRAIN_GRACE_S and outlasts drain, goodbye and rooms."""
    grace_s = pod(name, "worker")["spec"]["terminationGracePeriodSeconds"]

    assert chart.environment(name, "worker", SECRETS)["DRAIN_GRACE_S"] == str(drain_s)
    assert grace_s == drain_s + 60 > drain_s + GOODBYE_S + STOP_WITHIN_S


def test_each_worker_has_one_gpu_or_none() -> None:
    """A worker has one GPU, the part of one that the operator names, or none with `device: cpu`."""
    limits: dict[str, Any] = {
        name: container(name, "worker")["resources"]["limits"] for name in VALUES
    }

    assert limits["least"] == {"memory": "48Gi", "nvidia.com/gpu": 1}
    assert limits["on a CPU"] == {"memory": "4Gi"}
    assert limits["everything"] == {"memory": "48Gi", "nvidia.com/mig-3g.40gb": 1}


def test_images_are_pinned() -> None:
    """Our images have the chart's version, and valkey.yaml has the redis of compose."""
    version = re.findall(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.M)
    valkey = {
        each.where: each.version for each in locked() if each.package == "image:valkey/valkey"
    }

    assert [container("least", "worker")["image"].split(":")[1]] == version
    assert container("everything", "worker")["image"].startswith(
        "registry.example.com/voices/moshi-rooms-worker:0.1.0@sha256:"
    )
    assert valkey["deploy/helm/valkey.yaml"] == valkey["docker-compose.yml"]
