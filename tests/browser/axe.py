"""Accessibility, as axe-core measures it: WCAG 2.2 A and AA, and its best practices."""

from playwright.async_api import Page

from deploy.installers import PROJECT

SCRIPT = PROJECT / "web/node_modules/axe-core/axe.min.js"
RUN = """async () => {
  const { violations, passes } = await axe.run({ resultTypes: ['violations'] });
  const broken = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(' ')}`
  );
  return { broken, passed: passes.length };
}"""


async def violations(page: Page) -> list[str]:
    """Rules that the page breaks now, each with the elements that break it."""
    return (await examined(page))["broken"]


async def examined(page: Page) -> dict:
    """The rules `broken`, and the number of rules `passed`."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(SCRIPT.read_text())
    return await page.evaluate(RUN)
