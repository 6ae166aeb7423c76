"""Kubernetes accepts what Helm makes of the chart, and its parts fit each other."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import prometheus_client
import pytest
import yaml

from deploy import installers
from tests.deploy.helm import chart
from tests.deploy.helm.chart import NAMESPACE, RELEASE, VALUES, of_kind
from worker.engine import metrics

VERSIONS = ("1.30", "1.37")  # the oldest that Chart.yaml allows, the newest with schemas here
ALWAYS = {"Deployment": 2, "Service": 2, "PodDisruptionBudget": 2}
MORE = {
    "least": {"HorizontalPodAutoscaler": 1, "Ingress": 1, "NetworkPolicy": 2},
    "on a CPU": {},
    "everything": {
        "ConfigMap": 1,
        "HorizontalPodAutoscaler": 1,
        "Ingress": 1,
        "NetworkPolicy": 2,
        "Role": 1,
        "RoleBinding": 1,
        "ScaledObject": 1,
        "ServiceAccount": 1,
        "ServiceMonitor": 2,
    },
}


def strict(required: str = "", **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


TEXT, INTEGER = {"type": "string"}, {"type": "integer", "minimum": 0}
WORDS = {"type": "object", "additionalProperties": TEXT}
# The fields that the chart uses, as their CRDs have them: kedacore/keda v2.18
# config/crd/bases/keda.sh_scaledobjects.yaml, prometheus-operator v0.93
# example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml.
RULES = strict(
    stabilizationWindowSeconds=INTEGER,
    policies={
        "type": "array",
        "items": strict(
            "type value periodSeconds", type=TEXT, value=INTEGER, periodSeconds=INTEGER
        ),
    },
)
CUSTOM = {
    "ScaledObject": strict(
        "scaleTargetRef triggers",
        scaleTargetRef=strict("name", name=TEXT),
        minReplicaCount=INTEGER,
        maxReplicaCount=INTEGER,
        pollingInterval=INTEGER,
        advanced=strict(
            horizontalPodAutoscalerConfig=strict(behavior=strict(scaleUp=RULES, scaleDown=RULES))
        ),
        triggers={
            "type": "array",
            "items": strict("type metadata", type=TEXT, metricType=TEXT, metadata=WORDS),
        },
    ),
    "ServiceMonitor": strict(
        "selector endpoints",
        selector=strict(matchLabels=WORDS),
        endpoints={
            "type": "array",
            "items": strict(
                port=TEXT,
                path=TEXT,
                interval=TEXT,
                authorization=strict(credentials=strict("key", name=TEXT, key=TEXT)),
            ),
        },
    ),
}


def check(given: dict[str, Any], version: str) -> None:
    """Check an object as the API server does, so that an unknown field fails."""
    if given["kind"] in CUSTOM:
        jsonschema.validate(given["spec"], CUSTOM[given["kind"]])
    else:
        kubernetes_validate.validate(given, version, strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_no_fault(name: str) -> None:
    """`helm lint --strict` finds no fault in the chart with these values."""
    done = chart.helm("lint --strict", name)

    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_accepts_every_object(name: str, version: str) -> None:
    """Each object follows the schema of its kind in the oldest and the newest version."""
    kinds: dict[str, int] = {}
    for each in chart.rendered(name):
        check(each, version)
        kinds[each["kind"]] = kinds.get(each["kind"], 0) + 1

    assert kinds == ALWAYS | MORE[name]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_redis_beside_it(version: str) -> None:
    """Kubernetes accepts `valkey.yaml`, which is for a cluster without a redis."""
    text = (chart.PROJECT / "deploy/helm/valkey.yaml").read_text()
    kinds = []
    for each in yaml.safe_load_all(text):
        check(each, version)
        kinds.append(each["kind"])

    assert kinds == ["StatefulSet", "Service", "NetworkPolicy"]


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    """`check` fails for an unknown field, of Kubernetes' own kinds and of others."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prts": []}}
    monitor = {"kind": "ServiceMonitor", "spec": {"selector": {}, "endpoints": [{"prt": "http"}]}}

    with pytest.raises(kubernetes_validate.ValidationError, match="prts"):
        check(wrong, VERSIONS[0])
    with pytest.raises(jsonschema.ValidationError, match="prt"):
        check(monitor, VERSIONS[0])


@pytest.mark.parametrize("page", ["README.md", "docs/kubernetes.md"])
def test_documented_commands_render(page: str) -> None:
    """The `helm install` of each page renders with the values that the page shows."""
    text = (chart.PROJECT / page).read_text()
    [line] = re.findall(r"^helm install moshi-rooms ((?:\\\n|.)+)$", text, re.M)
    given = line.replace("\\\n", "").replace("my-values.yaml", "-")
    shown = re.search(r"<<'EOF'\n(.+?)^EOF$", text, re.M | re.S)
    done = subprocess.run(
        [installers.helm(), "template", RELEASE, *shlex.split(given)],
        cwd=chart.PROJECT,
        input=shown[1] if shown else "",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    [ingress] = [each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "Ingress"]
    hosts = [rule["host"] for rule in ingress["spec"]["rules"]]
    assert hosts == ["talk.example.com", "livekit.example.com"]


@pytest.mark.parametrize("page", ["README.md", "docs/kubernetes.md"])
def test_documented_commands_name_the_webhooks_key(page: str) -> None:
    """LiveKit is told the key of `make keys` for its webhook: with another it ends at once."""
    text = (chart.PROJECT / page).read_text()
    [line] = re.findall(r"^helm install livekit-server ((?:\\\n|.)+)$", text, re.M)

    assert "--set livekit.webhook.api_key=$(grep -oP '^LIVEKIT_API_KEY=\\K.*' .env)" in line


def test_livekit_is_the_version_that_the_tests_run() -> None:
    """The tag in the values for LiveKit's chart is the version of the tests."""
    values = yaml.safe_load((chart.PROJECT / "deploy/helm/livekit.yaml").read_text())

    version, _, digest = values["image"]["tag"].partition("@")
    assert version == "v" + ".".join(map(str, installers.LIVEKIT_VERSION))
    assert digest in (chart.PROJECT / "Dockerfile.gpu").read_text()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("host=", "/host"),
        ("livekit.url=livekit-server", "/livekit/url"),
        ("tokenService.authMode=loopback", "/tokenService/authMode"),
        ("tokenService.authMode=api_keys", "/tokenService/apiKeys"),
        ("worker.device=tpu", "/worker/device"),
        ("worker.enviroment.CAPACITY=3", "enviroment"),
        ("worker.env.CAPACITY=3", "got number, want string"),
        ("worker.env.capacity=x", "at '/worker/env': additional properties 'capacity'"),
        ("worker.env.DRAIN_GRACE_S=x", "worker.env.DRAIN_GRACE_S: the chart sets it"),
        ("tokenService.env.AUTH_MODE=x", "tokenService.env.AUTH_MODE: the chart sets it"),
        ("recordings.env.RECORD_DIR=x", "recordings.env.RECORD_DIR: the chart sets it"),
        ("worker.autoscaling.enabled=true", "/worker/autoscaling/prometheus"),
        ("image.registry=registry.example.com", "/image/registry"),
        (
            "tokenService.autoscaling.min=11",
            "tokenService.autoscaling.min=11: expected at most max, 10",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(value: str, told: str) -> None:
    """A wrong value is refused with its name when the chart is rendered."""
    done = chart.helm("template x", "least", "--set", value)

    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_each_volume_has_one_source(name: str) -> None:
    """A volume has one source: Kubernetes refuses two, and Helm adds defaults to values."""
    for part in ("token-service", "worker"):
        for volume in chart.pod(name, part)["spec"]["volumes"]:
            assert len(volume.keys() - {"name"}) == 1, volume


@pytest.mark.parametrize("name", VALUES)
def test_every_reference_of_the_chart_exists(name: str) -> None:
    """Selectors, ports, scale targets and backends of each object exist in the chart."""
    deployments, services = of_kind(name, "Deployment"), of_kind(name, "Service")
    selecting = [*services.values(), *of_kind(name, "PodDisruptionBudget").values()]
    for each in [*selecting, *of_kind(name, "NetworkPolicy").values()]:
        part = each["metadata"]["name"].removeprefix(f"{RELEASE}-")
        spec = each["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        labels = chart.pod(name, part)["metadata"]["labels"]
        assert selector.get("matchLabels", selector).items() <= labels.items()
        [port] = chart.container(name, part)["ports"]
        if each["kind"] == "Service":
            assert spec["ports"] == [
                {"name": "http", "port": port["containerPort"], "targetPort": port["name"]}
            ]
        for rule in spec.get("ingress", []):
            assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for scaler in of_kind(name, kind).values():
            target = scaler["spec"]["scaleTargetRef"]["name"]
            assert "replicas" not in deployments[target]["spec"]
    for monitor in of_kind(name, "ServiceMonitor").values():
        service = services[monitor["metadata"]["name"]]
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= service["metadata"]["labels"].items()


def test_webhooks_from_a_nodes_network_are_let_in() -> None:
    """By default any peer reaches the token service, and only it and pods reach a worker."""
    policies = of_kind("least", "NetworkPolicy")

    assert "from" not in policies[f"{RELEASE}-token-service"]["spec"]["ingress"][0]
    passed_on, from_pods = policies[f"{RELEASE}-worker"]["spec"]["ingress"]
    assert passed_on["from"][0]["podSelector"]["matchLabels"].items() >= {
        ("app.kubernetes.io/component", "token-service")
    }
    assert from_pods["from"] == [{"namespaceSelector": {}}]


def test_each_host_of_the_ingress_has_its_service() -> None:
    """The page's host leads to the token service, and LiveKit's to its Service if one is named."""
    leads = {}
    for name in ("least", "everything"):
        [ingress] = of_kind(name, "Ingress").values()
        spec = ingress["spec"]
        [tls] = spec["tls"]
        leads[name] = {
            rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in spec["rules"]
        }
        assert tls["hosts"] == list(leads[name])
    page = {"talk.example.com": {"name": f"{RELEASE}-token-service", "port": {"number": 8080}}}

    assert leads["least"] == page
    assert leads["everything"] == page | {
        "livekit.example.com": {"name": "livekit-server", "port": {"number": 80}}
    }


def test_workers_are_scaled_by_metrics_that_they_have() -> None:
    """The query of the scaler names metrics that the worker has, and the ServiceMonitor's job."""
    [scaled] = of_kind("everything", "ScaledObject").values()
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    own = [metrics.SLOTS_USED, metrics.SLOTS_FREE]
    shown = "".join(prometheus_client.generate_latest(each).decode() for each in own)
    [service] = [each for each in of_kind("everything", "Service") if each.endswith("-worker")]

    for name in set(re.findall(r"moshi_\w+", query)):
        assert re.search(rf"^{name} ", shown, re.M)
    assert set(re.findall(r"\{(.*?)\}", query)) == {f'namespace="{NAMESPACE}",job="{service}"'}


def test_workers_are_as_many_as_the_used_and_spare_slots_fill(tmp_path: Path) -> None:
    """The scaler wants as many workers as hold the used slots and the spare ones."""
    [scaled] = of_kind("everything", "ScaledObject").values()
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]

    def played(value: float | None, **workers: tuple[int, int]) -> dict[str, Any]:
        labels = f'namespace="{NAMESPACE}",job="{RELEASE}-worker"'
        series = {
            f'moshi_slots_{kind}{{{labels},pod="{pod}"}}': f"{count}x9"
            for pod, counts in workers.items()
            for kind, count in zip(("used", "free"), counts, strict=True)
        } | {'moshi_slots_used{namespace="another",job="another"}': "99x9"}
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        return {
            "interval": "15s",
            "input_series": [{"series": name, "values": each} for name, each in series.items()],
            "promql_expr_test": [{"expr": query, "eval_time": "1m", "exp_samples": samples}],
        }

    tests = [
        played(44 / 24, a=(24, 0), b=(16, 8), loading=(0, 0)),
        played(4 / 24, a=(0, 24)),
        played(None, loading=(0, 0)),  # without an answer the number of workers stays
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    promtool = installers.prometheus().with_name("promtool")
    done = subprocess.run(
        [promtool, "test", "rules", rules], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
