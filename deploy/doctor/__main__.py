"""`make doctor`: every check, a line each; `--json` for dashboards.

Exit status: 0 nothing stands in the way, 1 something does, 2 the settings cannot be read.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import structlog

from deploy.doctor import keys, machine, network, servers, tools
from deploy.doctor import sessions as room_for
from deploy.doctor.finding import Finding, State, fail, ok
from deploy.doctor.gpu import Card, gpu
from deploy.doctor.model import Look, model
from deploy.doctor.public_url import public_url
from deploy.plan import Plan, make_plan
from protocol.errors import InvalidInput
from protocol.settings import PROJECT, Settings

FIT, UNFIT, UNREADABLE = 0, 1, 2
TO_START = "is started by make run"


def look(plan: Plan) -> Iterator[Finding]:
    """Every check, in the order in which somebody would mend things."""
    settings = plan.settings
    cards, card = gpu(settings.device)
    seen = model(settings, on_gpu=card is not None)
    yield machine.python()
    yield machine.compiler(on_gpu=card is not None)
    yield machine.disk(seen.folder or settings.cache_dir, seen.to_fetch_bytes)
    yield from _programs(plan)
    yield from network.ports(plan.ports)
    yield from _media(plan)
    yield from cards
    yield from seen.findings
    yield from _sessions(settings, seen, card)
    yield from _servers(plan)
    yield public_url(settings.livekit_public_url)
    yield from keys.keys(settings, PROJECT / ".env")


def main() -> int:
    """Look, print, judge."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    as_json = parser.parse_args().json
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    say: Callable[[Finding], None] = _nothing if as_json else _print
    findings: list[Finding] = []
    try:
        for finding in look(make_plan(os.environ, PROJECT / "var", terminal=False, find=Path)):
            findings.append(finding)
            say(finding)
    except InvalidInput as error:
        findings.append(fail("settings.wrong", str(error), "mend it in the environment or in .env"))
        say(findings[-1])
    fit = not any(each.state == State.FAIL for each in findings)
    if as_json:
        print(json.dumps({"fit": fit, "findings": [each.as_json() for each in findings]}))
    if findings[-1].code == "settings.wrong":
        return UNREADABLE
    return FIT if fit else UNFIT


def _programs(plan: Plan) -> Iterator[Finding]:
    names = {process.name for process in plan.processes}
    if "livekit" in names:
        yield tools.livekit_server()
    if "redis" in names:
        yield tools.redis_server()
    yield tools.page(plan.settings.web_dir)


def _media(plan: Plan) -> Iterator[Finding]:
    """UDP on each port of LiveKit's, where it is ours to open."""
    for port in plan.ports:
        if port.protocol == "udp":
            yield network.udp(port.host, port.number)


def _sessions(settings: Settings, seen: Look, card: Card | None) -> Iterator[Finding]:
    if seen.sizes is not None:
        free = psutil.virtual_memory().available
        yield room_for.sessions(seen.sizes, card, free, settings.capacity)
    elif settings.model not in ("echo", "builtin"):
        yield room_for.unknown(settings.model)


def _servers(plan: Plan) -> Iterator[Finding]:
    """Those that run already; the others are ours to start."""
    names = {process.name for process in plan.processes}
    for name, check in (("redis", servers.redis_server), ("livekit", servers.livekit)):
        if name in names:
            yield ok(f"{name}.to_start", f"{name} {TO_START}")
        else:
            yield check(plan.settings)


def _print(finding: Finding) -> None:
    print(finding.line(), flush=True)


def _nothing(_: Finding) -> None:
    """Say nothing: JSON comes at the end."""


if __name__ == "__main__":
    sys.exit(main())
