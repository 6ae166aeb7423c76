"""`make doctor`: run every check and print a line for each; `--json` for dashboards.

Exit status: 0 no failure, 1 failures, 2 the settings cannot be read.
"""

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import structlog
from dotenv import dotenv_values

from deploy import compose
from deploy.doctor import docker, keys, machine, media_address, network, proxies, servers, tools
from deploy.doctor.finding import Finding, State, fail, ok
from deploy.doctor.fit import sessions as room_for
from deploy.doctor.fit.gpu import Card, gpu
from deploy.doctor.fit.model import ModelCheck, model
from deploy.doctor.public_url import public_url
from deploy.lan.local_network import own_address
from deploy.launch.plan import Plan, make_plan
from protocol.config.env_file import read_env_file
from protocol.config.proxies import keep_loopback_direct
from protocol.config.secret import reveal
from protocol.config.settings import (
    DEVELOPMENT_KEY,
    DEVELOPMENT_SECRET,
    PROJECT,
    Settings,
    load_settings,
)
from protocol.errors import InvalidInput

FIT, UNFIT, UNREADABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Case:
    """The processes that will run here, and the command that starts them."""

    plan: Plan
    starter: str  # as it is typed
    domain: str = ""  # of compose: the name of this host
    node_ip: str = ""  # of compose: the address that LiveKit tells browsers; empty if not set
    unused: tuple[str, ...] = ()  # of compose: settings in .env that reach no container

    @property
    def compose(self) -> bool:
        """Whether docker compose starts everything."""
        return self.starter == COMPOSE


MAKE_RUN, COMPOSE = "make run", "docker compose up"
# Before `make keys`: compose refuses to start without any, and the check of keys says what to do.
DEVELOPMENT_KEYS = {"LIVEKIT_API_KEY": DEVELOPMENT_KEY, "LIVEKIT_API_SECRET": DEVELOPMENT_SECRET}


def look(case: Case) -> Iterator[Finding]:
    """Run every check, in the order in which an operator would repair things."""
    plan, settings = case.plan, case.plan.settings
    cards, card = gpu(settings.device, docker.ON_CPU if case.compose else "DEVICE=cpu")
    seen = model(settings, on_gpu=card is not None)
    yield machine.python()
    if case.compose:
        yield from docker.docker(on_gpu=settings.device != "cpu")
        yield docker.disk(seen.to_fetch_bytes)
    else:
        yield machine.compiler(on_gpu=card is not None)
        yield from machine.packages(PROJECT)
        yield machine.disk(seen.folder or settings.cache_dir, seen.to_fetch_bytes)
        yield from _programs(plan)
    yield from network.ports(plan.ports)
    yield from _media(plan)
    if case.compose:
        yield from media_address.media_address(case.domain, case.node_ip)
        yield from docker.unused(case.unused)
    yield from cards
    yield from seen.findings
    yield from _sessions(settings, seen, card)
    yield from proxies.proxies(settings)
    yield from _servers(case)
    yield _public_url(case)
    yield from keys.keys(settings, PROJECT / ".env")


def make_case() -> Case:
    """Return the case of docker compose if `DOMAIN` is set, else of `make run`."""
    text = io.StringIO(read_env_file(PROJECT / ".env"))
    written = {name: value or "" for name, value in dotenv_values(stream=text).items()}
    given = written | os.environ
    if not given.get("DOMAIN"):
        return Case(make_plan(os.environ, PROJECT / "var", terminal=False, find=Path), MAKE_RUN)
    with_keys = DEVELOPMENT_KEYS | {name: value for name, value in given.items() if value}
    for name in compose.OURS:
        os.environ.update(compose.environment(name, with_keys))
    plan = compose.plan(load_settings(), own_address(), compose.services(given))
    unused = tuple(compose.unused(written, given))
    return Case(plan, COMPOSE, given["DOMAIN"], given.get("NODE_IP", ""), unused)


def main() -> int:
    """Run the checks, print the findings and return the exit status."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    as_json = parser.parse_args().json
    structlog.configure(  # findings are for people: what reads a secret is no line between them
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    findings: list[Finding] = []
    keep_loopback_direct()
    with open(os.devnull, "w") if as_json else nullcontext(sys.stdout) as shown:
        try:
            case = make_case()
            print(f"For `{case.starter}` on this machine:", file=shown, flush=True)
            for finding in look(case):
                findings.append(finding)
                print(finding.line(), file=shown, flush=True)
        except InvalidInput as error:
            advice = "correct it in the environment or in .env"
            findings.append(fail("settings.wrong", str(error), advice))
            print(findings[-1].line(), file=shown)
        print(verdict(findings), file=shown)
    fit = not any(each.state == State.FAIL for each in findings)
    if as_json:
        print(json.dumps({"fit": fit, "findings": [each.as_json() for each in findings]}))
    if findings[-1].code == "settings.wrong":
        return UNREADABLE
    return FIT if fit else UNFIT


def verdict(findings: list[Finding]) -> str:
    """Return the summary of all findings."""
    faults, doubts = (
        sum(each.state == state for each in findings) for state in (State.FAIL, State.WARN)
    )
    return f"Result: {faults} FAIL, {doubts} WARN."


def _programs(plan: Plan) -> Iterator[Finding]:
    names = {process.name for process in plan.processes}
    if "livekit" in names:
        yield tools.livekit_server()
    if "redis" in names:
        yield tools.redis_server()
    if "caddy" in names:
        yield tools.caddy()
    yield tools.page(plan.settings.web_dir)


def _media(plan: Plan) -> Iterator[Finding]:
    """Check UDP on LiveKit's first port if we are to open it."""
    ports = [port for port in plan.ports if port.protocol == "udp"]
    if ports:
        yield network.udp(plan.node_ip, ports[0].number)


def _sessions(settings: Settings, seen: ModelCheck, card: Card | None) -> Iterator[Finding]:
    if seen.sizes is not None:
        free = psutil.virtual_memory().available
        yield room_for.sessions(
            seen.sizes, card, free, settings.capacity, settings.kv_dtype, settings.stt
        )
    elif settings.model != "echo":
        yield room_for.unknown(settings.model)


def _servers(case: Case) -> Iterator[Finding]:
    """Check the servers that run already; we start the others."""
    names = {process.name for process in case.plan.processes}
    for name, check in (("redis", servers.redis_server), ("livekit", servers.livekit)):
        if name in names:
            yield ok(f"{name}.to_start", f"{name} is started by {case.starter}")
        else:
            yield check(case.plan.settings)


def _public_url(case: Case) -> Finding:
    """Check the public address, if it is served already."""
    plan = case.plan
    if plan.lan is not None:
        found = f"{plan.lan.address}: make run puts Caddy there, with its own certificate"
        return ok("public_url.to_start", found)
    keys = (
        plan.settings.livekit_api_key,
        reveal(plan.settings, "livekit_api_secret", "doctor's join"),
    )
    runs = all(process.name != "livekit" for process in plan.processes)
    return public_url(plan.settings.livekit_public_url, keys, runs=runs)


if __name__ == "__main__":
    sys.exit(main())
