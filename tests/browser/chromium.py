"""A real Chromium whose microphone is a file, or is refused to every page."""

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from deploy import installers

# A second list would replace Playwright's (`chromiumSwitches`), so what that disables comes again.
DISABLED = [
    # Chromium runs two pages of its address bar for every context: 1 s of CPU time, of 1.5.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    # Playwright's: how pages load, what the browser asks of other hosts, and what it leaves open.
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AimEnabled",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PreconnectToSearch",
]
QUIET = [
    f"--disable-features={','.join(DISABLED)}",
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # This name is neither localhost nor https, and leads to this machine.
    "--host-resolver-rules=MAP rooms.test 127.0.0.1",
]


def chromium_that_hears(voice: Path, *arguments: str) -> AbstractAsyncContextManager[Browser]:
    """Run a Chromium that allows every microphone, which plays a WAV file again and again."""
    return _chromium(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
        *arguments,
    )


def chromium_that_refuses() -> AbstractAsyncContextManager[Browser]:
    """Run a Chromium that has a microphone and refuses it to every page."""
    return _chromium("--use-fake-device-for-media-stream")


@asynccontextmanager
async def _chromium(*arguments: str) -> AsyncGenerator[Browser]:
    os.environ.update(installers.node_for_playwright())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=installers.chromium(), headless=True, args=[*QUIET, *arguments]
        )
        yield browser
        await browser.close()
