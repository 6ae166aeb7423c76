"""How the page looks in every size and colour: what does not fit, axe's findings, pictures."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from playwright.async_api import Page, ViewportSize

from protocol.config.settings import PROJECT
from tests.browser.axe import OF_COLOURS, violations
from tests.browser.conftest import DESKTOP

FOLDER = PROJECT / "test-results"
FITS = Path(__file__).with_name("fits.js").read_text()
PHONE = (360, 640)
ZOOMED = (640, 400)  # a desktop of 1280 by 800 at 200 %
SIZES = [
    (320, 256),  # a desktop of 1280 by 1024 at 400 %
    (320, 568),
    PHONE,
    (390, 844),
    (844, 390),
    (820, 1180),
    ZOOMED,
    (1280, 800),
    (1366, 657),
    (1920, 1080),
]
NARROW = [*SIZES[:3], (844, 390)]
PICTURED = {PHONE, ZOOMED, (1280, 800)}
# By axe: in light with every rule, else with those of colours. Forced colours know no size.
EXAMINED = {PHONE: ("light", "dark", "forced", "forced-dark"), (1280, 800): ("light", "dark")}
COLOURS: dict[str, Callable[[Page], Awaitable[None]]] = {
    "light": lambda page: page.emulate_media(color_scheme="light", forced_colors="none"),
    "dark": lambda page: page.emulate_media(color_scheme="dark"),
    "forced": lambda page: page.emulate_media(color_scheme="light", forced_colors="active"),
    "forced-dark": lambda page: page.emulate_media(color_scheme="dark", forced_colors="active"),
}


async def faults_of(page: Page, state: str) -> list[str]:
    """Return what does not fit in any size, and what axe finds in any colours; take pictures.

    The colours of the system change colours and borders only, so axe needs only those rules.
    """
    faults = await misfits(page, state, SIZES)
    for (width, height), looks in EXAMINED.items():
        await page.set_viewport_size(ViewportSize(width=width, height=height))
        for colours in looks:
            await COLOURS[colours](page)
            broken = await violations(page, None if colours == "light" else OF_COLOURS)
            faults += [f"{width}x{height}, {colours}: {fault}" for fault in broken]
            if (width, height) == PHONE and colours != "light":
                await page.screenshot(path=FOLDER / f"{state}-{colours}.png")
    await COLOURS["light"](page)
    await page.set_viewport_size(DESKTOP)
    return faults


async def misfits(page: Page, state: str, sizes: Iterable[tuple[int, int]]) -> list[str]:
    """Return what does not fit in each of these sizes; take pictures of some."""
    faults: list[str] = []
    for width, height in sizes:
        await page.set_viewport_size(ViewportSize(width=width, height=height))
        faults += [f"{width}x{height}: {fault}" for fault in await page.evaluate(FITS)]
        if (width, height) in PICTURED:
            await page.screenshot(path=FOLDER / f"{state}-{width}x{height}.png")
    return faults
