"""Accessibility, as axe-core measures it: WCAG 2.2 A and AA, and its best practices."""

from playwright.async_api import Page

from deploy.installers import PROJECT

SCRIPT = PROJECT / "web/node_modules/axe-core/axe.min.js"
OF_COLOURS = ["color-contrast", "link-in-text-block"]
RUN = """async (rules) => {
  const options = { resultTypes: ['violations'], ...(rules && { runOnly: rules }) };
  const { violations, passes } = await axe.run(options);
  const broken = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(' ')}`
  );
  return { broken, passed: passes.length };
}"""


async def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """Return the rules that the page breaks now, of `rules` or of all, each with its elements."""
    return (await examined(page, rules))["broken"]


async def examined(page: Page, rules: list[str] | None = None) -> dict:
    """Return the rules that are `broken`, and the number of rules that `passed`."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(SCRIPT.read_text())
    return await page.evaluate(RUN, rules)
