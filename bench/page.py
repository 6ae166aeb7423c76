"""Measure the page: size, time until usable, time until a voice is heard, accessibility.

Starts the product with the pocket Moshi and a real Chromium, whose microphone plays a sentence of
2 s every 8 s, from the moment when it opens. "Paint" is the first text or picture, "ready" the
start button that can be pressed, "live" a voice that listens, "answer" its first sound after the
first sentence. The first load is all that was sent until then, without the part of the page that a
call alone needs. The slow phone has 1.6 Mbit/s, 150 ms and a processor four times slower, as
Lighthouse does it. Layout shift is the browser's own score (0.1 is good).

    python -m bench.page
    python -m bench.page --picture docs/pictures/page.png   # the README's picture alone

A table, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from statistics import median

from playwright.async_api import Browser, ViewportSize

from harness.stack import Stack, start_stack
from tests.browser.axe import examined
from tests.browser.chromium import chromium_that_hears
from tests.browser.microphone import write_turn
from tests.browser.visit import Visit
from worker.engine.files import pocket

SIZE = ViewportSize(width=1200, height=720)
SHARPNESS = 1.5
WORDS = 14
LOADS = 9  # short; the median forgets what else the machine did
VISITS = 3
SENTENCE = pocket.FOLDER / "voices" / "NATM1.wav"
PAUSE_S = 6.0

SLOW_NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 750e3 / 8,
}
SLOWER = 4
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
# What a call alone needs may be on its way already, or be there.
FIRST_LOAD = """performance.getEntries()
  .filter(({ name, transferSize }) => transferSize && !name.includes('/callPart-'))
  .reduce((sum, { transferSize }) => sum + transferSize, 0)"""
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifted += each.value;
}).observe({ type: 'layout-shift', buffered: true });
"""


async def take_picture(browser: Browser, stack: Stack, path: Path) -> None:
    """Take a picture of a call with two personas once there are words."""
    page = await browser.new_page(
        viewport=SIZE, device_scale_factor=SHARPNESS, color_scheme="light"
    )
    visit = await Visit(page, stack.url).open()
    await visit.call("Assistant", "Chef")
    await visit.sees_words(WORDS)
    await visit.sees_level(".seat[data-state=speaking]")
    size = len(await page.screenshot(path=path))
    await page.close()
    print(f"{path}: {size / 1000:.0f} kB")


async def load(browser: Browser, stack: Stack, *, slow: bool) -> dict[str, float]:
    """Measure a new visitor's first load."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(SHIFTS)
    if slow:
        cdp = await context.new_cdp_session(page)
        await cdp.send("Network.enable")
        await cdp.send("Network.emulateNetworkConditions", SLOW_NETWORK)
        await cdp.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    visit = Visit(page, stack.url)
    await visit.open()
    ready_ms = await page.evaluate("performance.now()")
    paint_ms = await page.evaluate(FIRST_PAINT)
    sent = await page.evaluate(FIRST_LOAD)
    shifted = await page.evaluate("window.shifted")
    await context.close()
    return {
        "sent_kb": sent / 1000,
        "paint_ms": paint_ms,
        "ready_ms": ready_ms,
        "shifted": shifted,
    }


async def call(browser: Browser, stack: Stack) -> tuple[float, float]:
    """Measure the milliseconds from the click until a voice listens, and until it is heard."""
    context = await browser.new_context()
    visit = await Visit(await context.new_page(), stack.url).open()
    clicked_ms = await visit.page.evaluate("performance.now()")
    await visit.press("Start talking")
    await visit.is_answered()
    live_ms = await visit.page.evaluate("performance.now()")
    await visit.hears(voices=1)
    heard_ms = await visit.page.evaluate("performance.now()")
    await context.close()
    await stack.slots_used_become(0)
    return live_ms - clicked_ms, heard_ms - clicked_ms


async def access(browser: Browser, stack: Stack) -> dict[str, str]:
    """Count accessibility rules broken and passed, at the start and in a call, in each theme."""
    found = {}
    visit = await Visit(await browser.new_page(), stack.url).open()
    for state in ("start", "call"):
        if state == "call":
            await visit.press("Start talking")
            await visit.is_answered()
            await visit.sees_words(3)
        for theme in ("light", "dark"):
            # without motion, for a colour that is on its way to another one has no contrast
            await visit.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            told = await examined(visit.page)
            broken = told["broken"]
            found[f"{state}, {theme}"] = f"{broken or 'none'} of {len(broken) + told['passed']}"
    await visit.page.close()
    return found


async def measure(browser: Browser, stack: Stack) -> None:
    """Measure everything; print a table and JSON."""
    quick = [await load(browser, stack, slow=False) for _ in range(LOADS)]
    slow = [await load(browser, stack, slow=True) for _ in range(VISITS)]
    calls = [await call(browser, stack) for _ in range(VISITS)]
    figures = {
        "first_load_kb": round(quick[0]["sent_kb"]),
        "paint_ms": round(median(each["paint_ms"] for each in quick)),
        "paint_on_a_slow_phone_ms": round(median(each["paint_ms"] for each in slow)),
        "ready_ms": round(median(each["ready_ms"] for each in quick)),
        "ready_on_a_slow_phone_ms": round(median(each["ready_ms"] for each in slow)),
        "layout_shift": round(max(each["shifted"] for each in quick + slow), 4),
        "click_to_live_ms": round(median(live_ms for live_ms, _ in calls)),
        "click_to_answer_ms": round(median(heard_ms for _, heard_ms in calls)),
        "rules_broken": await access(browser, stack),
        "load": os.getloadavg()[0],
    }
    for name, value in figures.items():
        print(f"{name:26} {value}")
    print(json.dumps(figures))


async def main() -> None:
    """Take the picture, or measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--picture", type=Path, help="where to put the README's picture")
    picture = arguments.parse_args().picture
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(Path(folder), model="pocket", capacity=2) as stack,
    ):
        voice = write_turn(Path(folder) / "voice.wav", SENTENCE, PAUSE_S)
        async with chromium_that_hears(voice) as browser:
            if picture:
                await take_picture(browser, stack, picture)
            else:
                await measure(browser, stack)


if __name__ == "__main__":
    asyncio.run(main())
