"""The launcher with real small commands, and with the product itself."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest
import structlog

from deploy.lan.local_network import own_address
from deploy.launch import run
from deploy.launch.screen import printer_for
from harness import launched
from harness.launched import READY_WITHIN_S, Launched
from harness.person import eventually, person
from harness.proxy import ForwardProxy, forward_proxy, saying
from harness.servers import gone, wait_until
from protocol import wire

LAUNCH = """
import os, signal, sys
from deploy.launch import run
from deploy.launch.plan import Process
stay = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
second = [sys.executable, "-c", sys.argv[1]]
processes = [Process(name, command, dict(os.environ), []) for name, command in
             (("first", stay), ("second", second))]
sys.exit(run.supervise(processes, stay, ["--first-wait-s", "0.05"]))
"""
STAY = "import signal; print('second is up', flush=True); signal.pause()"
CRASH = "raise SystemExit('no such model')"


Launch = Callable[[str], Launched]
MakeRun = Callable[[], Launched]


@pytest.fixture
def launch(tmp_path: Path) -> Generator[Launch]:
    """Return a function that launches a command that stays and a second one."""
    with ExitStack() as stack:

        def start(second: str) -> Launched:
            log = tmp_path / "log"
            launched = Launched([sys.executable, "-c", LAUNCH, second], log, {})
            stack.callback(launched.end)
            return launched

        yield start


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_stops_everything(launch: Launch, signum: signal.Signals, status: int) -> None:
    """SIGINT and SIGTERM end every process; make would call a status after Ctrl-C an error."""
    launched = launch(STAY)
    launched.wait_until_said("second is up")
    family = launched.family()
    launched.process.send_signal(signum)

    assert launched.process.wait(20) == status
    assert gone(family)


def test_a_killed_launcher_leaves_nothing(launch: Launch) -> None:
    """When the launcher is killed, every process that it started ends."""
    launched = launch(STAY)
    launched.wait_until_said("second is up")
    family = launched.family()
    launched.process.kill()

    wait_until(lambda: gone(family), "every process of a killed launcher is gone")


def test_a_launcher_that_nobody_reads_leaves_nothing() -> None:
    """When what it is piped into ends, as `head` does, every process ends."""
    talks = "while True: print('second is up', flush=True)"
    command = [sys.executable, "-c", LAUNCH, talks]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as launcher:
        assert launcher.stdout is not None
        while b"second is up" not in launcher.stdout.readline():
            pass
        family = psutil.Process(launcher.pid).children(recursive=True)
        launcher.stdout.close()

        assert launcher.wait(20) == 1
    wait_until(lambda: gone(family), "every process is gone")


def test_a_process_that_keeps_crashing_stops_everything_with_its_reason(launch: Launch) -> None:
    """Five crashes in a row end everything with status 3, and the log has the reason."""
    launched = launch(CRASH)
    launched.wait_until_said("giving up after 5 crashes in a row")

    assert launched.process.wait(20) == 3
    assert launched.said().count("| no such model") == 5


def test_a_killed_process_comes_back(launch: Launch) -> None:
    """A process that is killed is started again."""
    launched = launch(STAY)
    launched.wait_until_said("second is up")
    [kept] = [
        process
        for process in launched.family()
        if process.cmdline()[-2:] == ["-c", STAY]
        and "deploy.launch.supervise" not in process.cmdline()
    ]
    kept.kill()
    wait_until(lambda: launched.said().count("second is up") == 2, "the second start")

    assert "(killed by SIGKILL)" in launched.said()
    assert launched.process.poll() is None


@dataclass(frozen=True)
class Product:
    """A running `make run`, its settings, and the proxy that its environment names."""

    launched: Launched
    addresses: dict[str, str]
    proxy: ForwardProxy


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Generator[Product]:
    """Start one product for several tests, with every variable that names a proxy."""
    folder = tmp_path_factory.mktemp("run")
    with forward_proxy(saying("403 Forbidden")) as proxy:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        addresses = launched.addresses(folder) | dict.fromkeys(names, proxy.url)
        with launched.make_run(folder / "log", addresses) as running:
            running.wait_until_said("Open http://", READY_WITHIN_S)
            yield Product(running, addresses, proxy)


def address_of(product: Launched) -> str:
    """Return the address that the product printed."""
    [address] = re.findall(r"Open (\S+) and talk", product.said())
    return address


def test_make_run_prints_an_address_that_is_ready(product: Product) -> None:
    """`make run` prints the page's address on this machine, and it serves."""
    address = address_of(product.launched)

    assert address == f"http://localhost:{product.addresses['PORT']}"
    assert httpx.get(f"{address}/ready", trust_env=False).status_code == 200


async def test_a_call_bypasses_the_proxy_and_survives_its_worker(
    product: Product,
) -> None:
    """After its worker was killed a call gets a new host, and no request went through the proxy."""
    async with person(f"http://127.0.0.1:{product.addresses['PORT']}") as ann:
        ann.tone_hz = 500.0
        await eventually(lambda: bool(ann.personas), "a persona")
        first = ann.personas[0].identity
        await eventually(lambda: ann.rms(first) > 0.2, "the echo is heard")
        ann.tone_hz = 0.0
        workers = [
            each
            for each in product.launched.family()
            if (command := each.cmdline())[-2:] == ["-m", "worker"]
            and "deploy.launch.supervise" not in command
        ]
        # The main process first: it would tell that another was killed, and get the room once more.
        for process in sorted(workers, key=lambda each: each.create_time()):
            process.kill()
        await eventually(
            lambda: [p.identity for p in ann.personas] not in ([], [first]), "a new host", 60
        )
        await eventually(lambda: len(ann.personas) == 1, "the dead persona is gone")
        ann.tone_hz = 500.0
        second = ann.personas[0].identity
        await eventually(lambda: ann.rms(second) > 0.2, "the echo is heard again")

    assert ann.personas[0].attributes[wire.ATTR_GENERATION] == "2"
    assert product.proxy.targets == []


@pytest.fixture
def addresses(tmp_path: Path) -> dict[str, str]:
    """Return settings for a product of the test's own."""
    return launched.addresses(tmp_path)


@pytest.fixture
def make_run(addresses: dict[str, str], tmp_path: Path) -> Generator[MakeRun]:
    """Return a function that starts `make run`, without make."""
    with ExitStack() as stack:

        def start() -> Launched:
            return stack.enter_context(launched.make_run(tmp_path / "log", addresses))

        yield start


def test_make_run_serves_the_other_loopback_and_ctrl_c_leaves_nothing(
    make_run: MakeRun, addresses: dict[str, str]
) -> None:
    """With HOST=::1 the printed address has brackets and serves, and SIGINT ends every process."""
    addresses["HOST"] = addresses["WORKER_HOST"] = "::1"
    product = make_run()
    product.wait_until_said("Open http://", READY_WITHIN_S)
    address = address_of(product)
    ready = httpx.get(f"{address}/ready", trust_env=False)
    family = product.family()
    product.process.send_signal(signal.SIGINT)

    assert address == f"http://[::1]:{addresses['PORT']}"
    assert ready.status_code == 200
    assert product.process.wait(20) == 0
    assert gone(family)
    assert "Traceback" not in product.said()


def test_a_taken_port_is_told_with_its_holder(make_run: MakeRun, addresses: dict[str, str]) -> None:
    """A taken port ends `make run` with the port, its use, its holder and its setting."""
    with socket.create_server(("127.0.0.1", int(addresses["PORT"]))):
        launched = make_run()
        status = launched.process.wait(60)

    assert status == 1
    assert f"tcp port {addresses['PORT']} (page and token service) is taken by `" in launched.said()
    assert f"(pid {os.getpid()}); PORT=… moves it" in launched.said()


def test_an_address_of_another_machine_is_told(
    make_run: MakeRun, addresses: dict[str, str]
) -> None:
    """HOST of another machine ends `make run` with an address of this machine."""
    addresses["HOST"] = "100.127.255.254"
    launched = make_run()

    assert launched.process.wait(60) == 1
    here = f"expected an address of this machine, here {own_address()}"
    told = launched.said()
    assert told.endswith(f"==> HOST='100.127.255.254': {here}\n")
    assert "secret_read" not in told, "a refused start has no log"


def test_a_wrong_setting_is_told(make_run: MakeRun, addresses: dict[str, str]) -> None:
    """A wrong setting ends `make run` with its name, its value and what is expected."""
    addresses["LIVEKIT_PORT"] = "seventy"
    launched = make_run()

    assert launched.process.wait(60) == 1
    assert "LIVEKIT_PORT='seventy': Input should be a valid integer" in launched.said()


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout that is read-only, or a full disk, ends `make run` in one line with the path."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(run, "FOLDER", tmp_path / "file" / "var")
    monkeypatch.setattr(sys, "argv", ["make run"])

    assert run.main() == 1
    told = capsys.readouterr().err
    assert told.startswith(f"==> {tmp_path}/file/var: Not a directory; expected free space")
    assert told.count("\n") == 1


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Keep what a test does to the log from the tests after it."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logging")
def test_a_terminals_log_is_for_people_from_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the launcher itself logs stands in the terminal's log as text without colours."""
    log = structlog.stdlib.get_logger("early")

    def plan(*_: object, **__: object) -> SimpleNamespace:
        log.info("planned", ports=0)
        return SimpleNamespace(ports=[], livekit_config=None, lan=None, used=[], processes=[])

    printer = printer_for(tmp_path / "run.log", terminal=True)
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(run, "printer_for", lambda *_, **__: printer)
    monkeypatch.setattr(run, "make_plan", plan)
    monkeypatch.setattr(run, "announcer", lambda *_: [])
    monkeypatch.setattr(run, "supervise", lambda *_, **__: log.info("runs") or 0)
    monkeypatch.setattr(sys, "argv", ["make run"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    status = run.main()
    printer.output.close()
    said = (tmp_path / "run.log").read_text()

    assert status == 0
    assert re.fullmatch(r"\S+ \[info +\] planned .*ports=0\n\S+ \[info +\] runs .*\n", said), said
