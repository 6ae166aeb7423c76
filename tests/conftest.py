"""Fixtures that every test may use: real servers, one of each per run, and settings for them."""

import asyncio
import gc
import inspect
import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial, wraps
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from harness import servers
from harness.fork_server import fork_from_now_on
from harness.machine_pauses import MachinePauses
from protocol.config.settings import Settings
from worker.livekit_private.native_log import disable_native_log_capture

RERUNS_MOST = 20  # of a run with --reruns while the machine did not pause; more are faults
SHORT = ("tests/protocol", "tests/token_service")  # no file of theirs takes long, but of this:
DEADLINES = "tests/token_service/server"  # waits for them, a minute in one file
FEW_FILES = 3  # a run of so few starts `python -m worker` itself, without a fork server
SERVERS = (  # fixtures that start them for many files, and those not for too many for one process
    *("roomy", "echo", "echo_with_whisper", "pocket_with_whisper", "scripted", "minded"),
    *("shared_cluster", "talkers"),
)
BROWSER = "tests/browser/"
SECOND_HALF = "tests/browser/test_pictures.py"  # with it begin the files of as much time again
BEFORE_S = 10.0  # a pause this long before a test may have disturbed its servers
MEASURED = "measured"  # the name of a line for the summary among a report's properties
MACHINE = MachinePauses()

# On a busy machine any example may take seconds, and timings decide no test.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_sessionstart() -> None:
    """Keep the records of LiveKit's native library out of Python; watch for pauses.

    What modules bring stays for the whole run, and is looked at for garbage neither while they are
    imported nor later.
    """
    disable_native_log_capture()
    MACHINE.start()
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a folder together: its servers (scope `package`) end with the last one.

    Folders of short files come last, so that processes of one run end at about the same time.
    Tests that share a node id fail: pytest-xdist is silent about those that it leaves out.
    """

    def place(item: pytest.Item) -> tuple[bool, str]:
        folder = item.nodeid.split("::")[0].rpartition("/")[0]
        return folder.startswith(SHORT) and folder != DEADLINES, folder

    items.sort(key=place)
    times = Counter(item.nodeid for item in items)
    for item in items:
        if times[item.nodeid] > 1:
            said = f"{times[item.nodeid]} tests have this node id: xdist would run one of them"
            setattr(item, "runtest", partial(pytest.fail, said))  # noqa: B010  # a method


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the product's processes as forks in a run that starts many of them."""
    gc.freeze()
    gc.enable()
    if len({item.path for item in session.items}) > FEW_FILES:
        fork_from_now_on()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling:
    """Give each process of a run files, or all tests that share servers."""
    return FilesOrServers(config, log)


class FilesOrServers(LoadGroupScheduling):
    """Keeps tests of a file together, and those of all files that share servers.

    Otherwise each process that got one of those files started the same servers once more. Tests in
    a browser are two halves: in four browsers at a time on two cores a page took longer than is
    waited for it.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return what a test belongs to: a half, the group of its mark, or its file."""
        if nodeid.startswith(BROWSER):
            return f"{BROWSER} {nodeid < SECOND_HALF}"
        return super()._split_scope(nodeid).split("::")[0]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note the servers that a test shares with others, and limit its time."""
    shared = [each for each in SERVERS if each in getattr(item, "fixturenames", ())]
    if shared:
        item.add_marker(pytest.mark.xdist_group(shared[0]))
    _limit(item)


def _limit(item: pytest.Item) -> None:
    """Limit a coroutine's time inside its loop as well.

    pytest-timeout raises from a signal, wherever the loop is: in a callback or in another task
    asyncio swallows that, and the test goes on without a limit.
    """
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return
    mark = item.get_closest_marker("timeout")
    limit_s = float(mark.args[0] if mark else item.config.getini("timeout"))
    test = item.obj

    @wraps(test)
    async def limited(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(limit_s):
            await test(*args, **kwargs)

    item.obj = limited


def _without_pause(reports: list[pytest.TestReport]) -> list[pytest.TestReport]:
    """Return the reports of tests that failed although the machine did not pause."""
    return [each for each in reports if not MACHINE.disturbed(each.start - BEFORE_S, each.stop)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which too many tests passed only at another try, and no pause explains it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(_without_pause(reporter.stats.get("rerun", []))) > RERUNS_MOST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of all tests, from every process of the run."""
    if reruns := terminalreporter.stats.get("rerun", []):
        unexplained = len(_without_pause(reruns))
        terminalreporter.write_line(f"{MACHINE.summary()}: {unexplained} reruns without a pause")
    finished = [each for reports in terminalreporter.stats.values() for each in reports]
    lines = [
        str(line)
        for report in finished
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for name, line in report.user_properties
        if name == MEASURED
    ]
    if lines:
        terminalreporter.section("measured")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Restore the environment after each test.

    `livekit.agents.AgentServer.run` writes LIVEKIT_URL and its key into `os.environ`; a command
    that a later test starts would take them for settings of its user.
    """
    before = dict(os.environ)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def one_torch_thread() -> Generator[None]:
    """Let torch use one thread in this process, and then the number of before.

    Several processes test at once: torch's threads wait for each other at each product, and where
    the cores are busy a small model takes ten times as long.
    """
    import torch  # seconds, which most processes never need

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Generator[list[str]]:
    """Lines for the run's summary. A figure decides no test, so a busy machine fails none."""
    lines: list[str] = []
    yield lines
    request.node.user_properties += [(MEASURED, line) for line in lines]


class SettingsFor(Protocol):
    """Make settings for a test's servers; every other setting has the product's default."""

    def __call__(
        self,
        *,
        livekit: servers.LiveKit | None = None,
        redis_url: str | None = None,
        **settings: Any,
    ) -> Settings:
        """Return settings that read no environment, no `.env` and no user file."""
        ...


StartLiveKit = Callable[..., AbstractContextManager[servers.LiveKit]]


@pytest.fixture(scope="session")
def servers_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the servers' configurations and logs."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def redis_url(servers_dir: Path) -> Generator[str]:
    """Start one real redis for the whole run; a test that writes keys uses names of its own."""
    with servers.start_redis(servers_dir) as url:
        yield url


@pytest.fixture(scope="session")
def livekit(servers_dir: Path) -> Generator[servers.LiveKit]:
    """Start one real LiveKit for the run, without redis and webhook; rooms have unique names."""
    with servers.start_livekit(servers_dir) as server:
        yield server


@pytest.fixture
def start_livekit(tmp_path: Path) -> StartLiveKit:
    """Return a starter of separate LiveKits: `with start_livekit(webhook_url=…) as livekit`."""
    return partial(servers.start_livekit, tmp_path)


@pytest.fixture
def settings_for() -> SettingsFor:
    """Return a factory of settings that point at the test's servers."""

    def make(
        *,
        livekit: servers.LiveKit | None = None,
        redis_url: str | None = None,
        **settings: Any,
    ) -> Settings:
        if livekit is not None:
            settings = {
                "livekit_url": livekit.url,
                "livekit_public_url": livekit.url,
                "livekit_api_key": livekit.api_key,
                "livekit_api_secret": livekit.api_secret,
            } | settings
        if redis_url is not None:
            settings = {"redis_url": redis_url} | settings
        return servers.GivenSettings(**settings)

    return make
