"""How the page looks in every size and colour: what does not fit, axe's findings, pictures."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from playwright.async_api import Locator, Page, ViewportSize

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
# By axe, and in pictures but for forced colours. The system's colours change colours and borders
# only, so axe needs only those rules in all but light. Colours know no size.
EXAMINED = {PHONE: ("light", "dark", "forced", "forced-dark"), (1280, 800): ("light",)}
PICTURED = ((*PHONE, "light"), (*PHONE, "dark"), (1280, 800, "light"))
COLOURS: dict[str, Callable[[Page], Awaitable[None]]] = {
    "light": lambda page: page.emulate_media(color_scheme="light", forced_colors="none"),
    "dark": lambda page: page.emulate_media(color_scheme="dark"),
    "forced": lambda page: page.emulate_media(color_scheme="light", forced_colors="active"),
    "forced-dark": lambda page: page.emulate_media(color_scheme="dark", forced_colors="active"),
}


async def looks_otherwise(shown: Locator, pressed: Locator) -> bool:
    """Press something; return whether a part of the page looks different afterwards."""
    page = shown.page
    await page.mouse.move(0, 0)
    before = await shown.screenshot(animations="disabled")
    await pressed.click()
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")
    return await shown.screenshot(animations="disabled") != before


async def faults_of(page: Page, state: str) -> list[str]:
    """Return what does not fit in any size, and what axe finds in any colours; take pictures."""
    faults: list[str] = []
    for size in SIZES:
        faults += await misfits(page, [size])
        for colours in EXAMINED.get(size, ()):
            await COLOURS[colours](page)
            broken = await violations(page, None if colours == "light" else OF_COLOURS)
            faults += [f"{size[0]}x{size[1]}, {colours}: {fault}" for fault in broken]
            if (*size, colours) in PICTURED:
                await page.screenshot(path=FOLDER / f"{state}-{size[0]}x{size[1]}-{colours}.png")
        if size in EXAMINED:
            await COLOURS["light"](page)
    await page.set_viewport_size(DESKTOP)
    return faults


async def misfits(page: Page, sizes: Iterable[tuple[int, int]]) -> list[str]:
    """Return what does not fit in each of these sizes."""
    faults: list[str] = []
    for width, height in sizes:
        await page.set_viewport_size(ViewportSize(width=width, height=height))
        faults += [f"{width}x{height}: {fault}" for fault in await page.evaluate(FITS)]
    return faults
