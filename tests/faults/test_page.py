"""Faults at the page: the person is told of them, and they end without a click."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.conftest import browser as browser  # the same fixture
from tests.browser.looks import faults_of
from tests.browser.visit import Visit
from tests.faults.cluster import Cluster
from tests.faults.conftest import Recovery

pytestmark = pytest.mark.asyncio(loop_scope="session")

VOICE = ".seat[data-identity^=agent-]"


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, cluster: Cluster) -> AsyncGenerator[Visit]:
    """Run a call with the echo, which is heard."""
    context = await browser.new_context(reduced_motion="reduce")
    try:
        visit = await Visit(await context.new_page(), cluster.url).open()
        await visit.call("Chef")
        await visit.hears(voices=1)
        yield visit
    finally:
        await context.close()


async def test_a_killed_agent_is_replaced(
    visit: Visit, cluster: Cluster, recovery: Recovery
) -> None:
    """After a worker was killed the page says so, and the next host's voice is heard."""
    [room] = {room for each in cluster.heartbeats() for room in each.hosts}
    before = await visit.identity()
    with recovery("page: worker killed, another lives, until the voice is heard"):
        cluster.host_of(room).kill()
        await visit.glimpses("dropped out")
        await visit.reaches("live")
        await visit.hears(voices=2)

    assert before != await visit.identity()


async def test_a_short_silence_of_the_network_changes_nothing(
    visit: Visit, cluster: Cluster
) -> None:
    """After four seconds without the network the same persona is heard."""
    before = await visit.identity()
    with cluster.livekit.frozen():
        await visit.page.wait_for_timeout(4_000)
    await visit.forget_sounds()
    await visit.hears(voices=1)

    assert before == await visit.identity()


async def test_a_network_that_is_away_is_told_and_comes_back(
    visit: Visit, cluster: Cluster, recovery: Recovery
) -> None:
    """While LiveKit is frozen the page counts down to its next try, and `Now` tries at once."""
    with cluster.livekit.frozen():
        await visit.reaches("reconnecting", within_ms=60_000)
        now = visit.page.get_by_role("button", name="Now", exact=True)
        await expect(now).to_be_visible()
        await visit.sees("Trying again in")
    with recovery("page: network back, until the voice is heard"):
        await visit.press("Now")
        await visit.reaches("live")
        await visit.hears(voices=2)


@pytest.mark.timeout(240)  # the page is looked at in every size and colour
async def test_a_call_outlives_its_sfu(visit: Visit, cluster: Cluster, recovery: Recovery) -> None:
    """After LiveKit was restarted the page returns, and a muted microphone stays muted.

    While the page counts down and tries again it fits every window.
    """
    await visit.press("Mute")
    cluster.livekit.kill()
    await visit.reaches("reconnecting")
    await visit.sees("Trying again in")
    faults = await faults_of(visit.page, "reconnecting")
    with recovery("page: LiveKit started again, until the page is back"):
        cluster.livekit.start()
        await visit.reaches("live", within_ms=60_000)  # a later try waits for half a minute
    await visit.press("Unmute")
    await visit.hears(voices=2)

    assert faults == []
