"""Draw the page's icons and the picture of a shared link: `python -m bench.icons`.

Into `web/public`, from the logo, in Chromium. An icon has a margin, because phones cut its corners.
"""

import asyncio
from pathlib import Path

from playwright.async_api import ViewportSize, async_playwright

from deploy import installers

FOLDER = installers.PROJECT / "web" / "public"
PAPER, INK = "#faf7f2", "#211c17"
ICONS = {"icon-180.png": 180, "icon-192.png": 192, "icon-512.png": 512}
LOGO_SHARE = 0.62  # of an icon's width: the rest may be cut
ICON = '<div style="display:grid;place-items:center;height:100vh;background:{paper}">{logo}</div>'
SHARED = """<div style="display:flex;align-items:center;gap:64px;height:100vh;padding:0 96px;
background:{paper};color:{ink};font:700 76px/1.1 system-ui, sans-serif">{logo}
<div>AI voices that listen while they speak.</div></div>"""


async def draw(path: Path, html: str, width: int, height: int) -> None:
    """Draw a document of this size into a PNG file."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installers.chromium())
        page = await browser.new_page(viewport=ViewportSize(width=width, height=height))
        await page.set_content(f"<body style='margin:0'>{html}</body>")
        size = len(await page.screenshot(path=path))
        await browser.close()
    print(f"{path.name}: {size / 1000:.1f} kB")


async def main() -> None:
    """Draw all of them."""
    logo = (FOLDER / "icon.svg").read_text()
    for name, width in ICONS.items():
        mark = logo.replace("<svg ", f'<svg width="{round(width * LOGO_SHARE)}" ', 1)
        await draw(FOLDER / name, ICON.format(paper=PAPER, logo=mark), width, width)
    mark = logo.replace("<svg ", '<svg width="300" style="flex:none" ', 1)
    await draw(FOLDER / "share.png", SHARED.format(paper=PAPER, ink=INK, logo=mark), 1200, 630)


if __name__ == "__main__":
    asyncio.run(main())
