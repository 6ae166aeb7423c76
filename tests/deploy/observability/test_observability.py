"""Dashboards and alerts query a real Prometheus, which scrapes the product during a real call."""

import asyncio
import json
import re
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sphn
import yaml

from deploy import installers
from harness import servers
from harness.person import eventually, person
from harness.rooms import asking_for, in_talk
from harness.stack import Stack, start_stack
from protocol.config.settings import Settings
from token_service.auth.api_keys import add_key, make_key
from token_service.auth.callers import Scope
from worker.engine.files import pocket

FOLDER = installers.PROJECT / "deploy" / "observability"
COMPOSE = yaml.safe_load((installers.PROJECT / "docker-compose.observability.yml").read_text())
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in (FOLDER / "grafana/dashboards").iterdir()
}
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
VOICE = pocket.FOLDER / "voices" / "NATM0.wav"
SCRAPED_EACH = "1s"
# A counter with a label has no series before its first event, which a healthy call does not cause.
NEEDS_TROUBLE = {
    "moshi_rate_limited_total",
    "moshi_renewed_slots_total",
    "moshi_unread_messages_total",
}
# The recogniser has these, and this call has no recogniser.
OF_THE_RECOGNISER = {"moshi_people_segments_total", "moshi_unwritten_speech_seconds_total"}


@dataclass(frozen=True)
class Prometheus:
    """A real Prometheus that has scraped the product."""

    url: str

    def ask(self, query: str) -> list[Any]:
        """Return the series that a query gives; raise for an invalid query."""
        arguments = {"query": query.replace("$__rate_interval", "30s")}
        answer = httpx.get(f"{self.url}/api/v1/query", params=arguments, trust_env=False)
        answer.raise_for_status()
        return answer.json()["data"]["result"]

    def names(self) -> set[str]:
        """Return every metric that the product has, also one without a series yet."""
        answer = httpx.get(f"{self.url}/api/v1/targets/metadata", trust_env=False)
        return {each["metric"] for each in answer.json()["data"]}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Generator[Prometheus]:
    """Run the product, a call in it, and Prometheus as its file configures it."""
    folder = tmp_path_factory.mktemp("observability")
    key, stored = make_key("prometheus", frozenset({Scope.OBSERVE}))
    (folder / "key").write_text(key)
    (folder / "keys.toml").touch()
    add_key(folder / "keys.toml", stored)
    keyed = {"auth_mode": "loopback,api_keys", "api_keys_file": str(folder / "keys.toml")}
    with start_stack(folder, model="pocket", capacity=1, **keyed) as stack:
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(configured(stack, folder)))
        url = f"http://127.0.0.1:{servers.free_port()}"
        command = [str(installers.prometheus()), f"--config.file={config}"]
        command += [f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address={url.removeprefix('http://')}"]
        ready = lambda: servers.http_answers(f"{url}/-/ready")  # noqa: E731
        with servers.running(command, ready, folder / "prometheus.log"):
            found = Prometheus(url)
            asyncio.run(call(stack, found))
            yield found


def configured(stack: Stack, folder: Path) -> dict[str, Any]:
    """Return the configuration with the addresses and files of this test."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": SCRAPED_EACH, "evaluation_interval": SCRAPED_EACH}
    config["rule_files"] = [str(FOLDER / each) for each in config["rule_files"]]
    service, worker = config["scrape_configs"]
    service["authorization"] = {"credentials_file": str(folder / "key")}
    service["static_configs"] = [{"targets": [stack.url.removeprefix("http://")]}]
    worker["static_configs"] = [{"targets": [stack.worker_url.removeprefix("http://")]}]
    return config


async def call(stack: Stack, prometheus: Prometheus) -> None:
    """Hold a call with an answer, end its session, and wait until Prometheus has the figures."""
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as http:
        opened = (await http.post("/sessions", json={"room": "kitchen"})).json()
        async with person(stack.url, asking_for("astronaut", room_name="kitchen")) as ann:
            await in_talk(ann)
            ann.speech = sphn.read(str(VOICE))[0][0]
            answered = "moshi_turn_seconds_count > 0"
            await eventually(lambda: bool(prometheus.ask(answered)), "an answer is scraped")
        await http.delete(f"/sessions/{opened['id']}")
    ended = 'rate(moshi_sessions_total{change="ended"}[5s]) >= 0'
    await eventually(lambda: bool(prometheus.ask(ended)), "two scrapes after the end")


def expressions() -> list[str]:
    """Return every query of a panel."""
    return [
        target["expr"]
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def names_of(expression: str) -> set[str]:
    """Return the metrics that a query names."""
    return set(re.findall(r"\b(?:moshi|process)_\w+", expression))


@pytest.mark.parametrize("expression", expressions())
def test_every_panel_shows_something(prometheus: Prometheus, expression: str) -> None:
    """Each panel's query has series with its labels, unless its metrics need trouble first."""
    series = prometheus.ask(expression)

    if not names_of(expression) & (NEEDS_TROUBLE | OF_THE_RECOGNISER):
        assert series
        wanted = re.findall(r" by \((.*?)\)", expression)
        labels = {each for group in wanted for each in group.split(", ")} - {"le"}
        assert labels <= set(series[0]["metric"]), series


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_metrics_that_exist(
    prometheus: Prometheus, rule: dict[str, Any]
) -> None:
    """An alert's expression is valid, its metrics exist, and it does not fire in a healthy call."""
    prometheus.ask(rule["expr"])
    for name in names_of(rule["expr"]):
        assert base(name) in prometheus.names(), name
    assert prometheus.ask(f'ALERTS{{alertname="{rule["alert"]}", alertstate="firing"}}') == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_series_of_an_alert_is_there_before_its_trouble(
    prometheus: Prometheus, rule: dict[str, Any]
) -> None:
    """A series that an alert names by its labels begins at 0: a first rise is else not seen."""
    for series in re.findall(r"moshi_\w+\{.*?\}", rule["expr"]):
        assert prometheus.ask(series), series


def base(name: str) -> str:
    """Return the name of the metric that a series belongs to, as Prometheus lists it."""
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_every_metric_of_a_panel_exists(prometheus: Prometheus) -> None:
    """Each metric of a panel exists in the product or in the recogniser's code."""
    named = {base(name) for expression in expressions() for name in names_of(expression)}
    code = (installers.PROJECT / "worker" / "hearing" / "whisper.py").read_text()

    assert named - prometheus.names() <= OF_THE_RECOGNISER
    for name in OF_THE_RECOGNISER:
        assert f'"{name.removesuffix("_total")}"' in code


def test_each_target_is_scraped(prometheus: Prometheus) -> None:
    """Prometheus scrapes the token service, with a key of the scope `observe`, and the worker."""
    up = {each["metric"]["job"]: each["value"][1] for each in prometheus.ask("up")}

    assert up == {"token_service": "1", "worker": "1"}


def test_each_alert_fires_for_its_trouble_alone(tmp_path: Path) -> None:
    """Each alert fires in the series of its trouble, and none in a day without trouble."""
    played = (Path(__file__).parent / "alerts.yml").read_text()
    rules = tmp_path / "rules.yml"
    rules.write_text(played.replace("RULES", str(FOLDER / "alerts.yml")))
    promtool = installers.prometheus().with_name("promtool")
    done = subprocess.run([promtool, "test", "rules", rules], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f'"{rule["alert"]}"' in played for rule in ALERTS)


def test_compose_adds_tools_that_only_this_host_reaches() -> None:
    """Each tool's image is pinned, its folders exist, and it listens on the loopback."""
    tools = {name: each for name, each in COMPOSE["services"].items() if "image" in each}
    for name, tool in tools.items():
        image = tool["image"]
        if "build" in tool:
            [image] = re.findall(r"^FROM (.+)$", tool["build"]["dockerfile_inline"], re.M)
        assert re.fullmatch(r"\$\{\w+:-[\w./-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}\}", image), name
        assert "127.0.0.1" in str(tool.get("command")) + str(tool.get("environment")), name
        for volume in tool.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (installers.PROJECT / source).is_dir(), source
    for name in ("token_service", "worker"):
        told = COMPOSE["services"][name]["environment"]
        assert {each.lower() for each in told} <= set(Settings.model_fields)


def test_a_changed_scrape_or_alert_makes_a_new_container() -> None:
    """Prometheus' image has its configuration and rules, so that a change makes a new container."""
    build = COMPOSE["services"]["prometheus"]["build"]
    [copied] = re.findall(r"^COPY (.+) /etc/prometheus/$", build["dockerfile_inline"], re.M)
    context = installers.PROJECT / build["context"]

    assert context == FOLDER
    assert "prometheus.yml" not in str(COMPOSE["services"]["prometheus"]["volumes"])
    rules = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"]
    assert {"prometheus.yml", *rules} == set(copied.split())


def test_grafana_finds_the_dashboards_source() -> None:
    """The panels' data source is provisioned."""
    path = FOLDER / "grafana/provisioning/datasources/datasources.yml"
    sources = {each["uid"] for each in yaml.safe_load(path.read_text())["datasources"]}
    used = {panel["datasource"]["uid"] for each in DASHBOARDS.values() for panel in each["panels"]}

    assert used <= sources
