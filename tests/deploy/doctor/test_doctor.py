"""`make doctor` as a command: what it prints, its exit status, and that a test has each code."""

import json
import os
import re
import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.doctor.__main__ import verdict
from deploy.doctor.finding import Finding, State
from deploy.installers import PROJECT
from harness.fork_server import finished
from harness.launched import three_free_ports
from harness.servers import free_port

SECRET = secrets.token_hex(32)
CHECKS = "python|compiler|docker|disk|\\w+_server|caddy|page|ports|udp|gpu|model|sessions|redis"
CODE = rf'"((?:{CHECKS}|livekit|proxy|public_url|keys|settings|media_address)\.[a-z_]+)"'


def doctor(home: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the doctor with settings of the test's own, on free ports."""
    ports = {name: str(free_port()) for name in ("PORT", "WORKER_PORT", "REDIS_PORT")}
    ports["LIVEKIT_PORT"] = str(three_free_ports())
    environment = {"HOME": str(home), **ports, **given}
    return finished("deploy.doctor", *arguments, env=os.environ | environment)


def codes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return code → state of the findings printed as JSON."""
    told: dict[str, Any] = json.loads(done.stdout)
    return {each["code"]: each["state"] for each in told["findings"]}


def test_with_json_findings_are_printed_without_secrets(tmp_path: Path) -> None:
    """With --json the findings are printed without secrets; 0 means that none is a failure."""
    done = doctor(
        tmp_path, "--json", CACHE_DIR=str(tmp_path), LIVEKIT_API_KEY="k", LIVEKIT_API_SECRET=SECRET
    )
    found = codes(done)

    assert [code for code, state in found.items() if state == "fail"] == []
    assert (done.returncode, json.loads(done.stdout)["fit"]) == (0, True)
    assert found["redis.to_start"] == found["livekit.to_start"] == "ok"
    assert found["keys.own"] == "ok"
    assert SECRET not in done.stdout + done.stderr


def test_without_json_a_failure_is_a_line_with_advice(tmp_path: Path) -> None:
    """Without --json a taken port is a line with advice, no line is of the log; the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        number = held.getsockname()[1]
        done = doctor(tmp_path, WORKER_PORT=str(number))

    assert done.returncode == 1
    assert re.search(
        rf"^FAIL  ports +tcp {number} \(worker's health\) is taken by", done.stdout, re.M
    )
    assert re.search(r"^ +→ end that, or set WORKER_PORT=…$", done.stdout, re.M)
    assert "secret_read" not in done.stdout + done.stderr


def test_a_domain_is_checked_for_compose(tmp_path: Path) -> None:
    """With DOMAIN the doctor checks production, the domain and docker, not `make run`."""
    done = doctor(
        tmp_path, "--json", DOMAIN="rooms.invalid", AUTH_MODE="open", MODEL="echo", PATH="/nowhere"
    )
    found = codes(done)

    assert done.returncode == 1
    assert {"docker.missing", "public_url.no_name", "keys.keys", "gpu.missing"} <= set(found)
    assert not {"livekit_server.ok", "page.ok", "compiler.unneeded"} & set(found)


def test_a_local_network_is_checked_for_make_run(tmp_path: Path) -> None:
    """With HOST the doctor checks the page's TLS and Caddy, which `make run` starts."""
    found = codes(doctor(tmp_path, "--json", HOST="127.0.0.2", HTTPS_PORT=str(free_port())))

    assert found["public_url.to_start"] == "ok"
    assert {"caddy.ok", "caddy.to_install"} & set(found)


def test_a_routers_address_and_a_running_redis_are_no_failures(
    tmp_path: Path, redis_url: str
) -> None:
    """A router's address as NODE_IP and a redis that runs already are no failures."""
    found = codes(doctor(tmp_path, "--json", NODE_IP="203.0.113.7", REDIS_URL=redis_url))

    assert found["udp.elsewhere"] == "warn"
    assert "ports.no_address" not in found
    assert found["redis.ok"] == "ok"


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ((State.OK, State.WARN), "Result: 0 FAIL, 1 WARN."),
        ((State.FAIL, State.FAIL, State.WARN), "Result: 2 FAIL, 1 WARN."),
    ],
)
def test_the_last_line_counts_failures_and_warnings(
    states: tuple[State, ...], sentence: str
) -> None:
    """The last line has the numbers of failures and warnings."""
    assert verdict([Finding("x.y", state, "") for state in states]) == sentence


def test_settings_that_cannot_be_read_have_a_status_of_their_own(tmp_path: Path) -> None:
    """A setting that cannot be read ends the doctor with status 2."""
    done = doctor(tmp_path, "--json", CAPACITY="many")

    assert done.returncode == 2
    assert codes(done) == {"settings.wrong": "fail"}


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (Finding("disk.ok", State.OK, "room"), "OK    disk           room"),
        (
            Finding("redis.away", State.FAIL, "gone", "start it"),
            "FAIL  redis          gone\n                     → start it",
        ),
    ],
)
def test_a_line_says_what_was_found_and_what_to_do(finding: Finding, line: str) -> None:
    """A finding's line has its state, check and text, with the advice below."""
    assert finding.line() == line


def test_every_code_stands_in_a_test() -> None:
    """Each code of the doctor's source stands in a test."""
    source = "".join(path.read_text() for path in (PROJECT / "deploy" / "doctor").glob("*.py"))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    made_of_names = {f"keys.{what}" for what in ("keys", "auth", "tls", "proxies")}
    made_of_names |= {"redis.to_start", "livekit.to_start"}
    can_be_printed = set(re.findall(CODE, source)) | made_of_names
    seen = set(re.findall(r"(\w+\.[a-z_]+)", tests)) | {"model.echo"}

    assert len(can_be_printed) > 60
    assert sorted(can_be_printed - seen) == []
