"""The product under a path: a proxy serves page, documentation and LiveKit below `/voice/`."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Request, expect

from deploy import installers
from harness import servers
from harness.stack import Stack, start_stack
from tests.browser.conftest import open_visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "mrk_not-one-of-this-service"  # loopback needs no bearer; it is sent all the same
PROXY = """{{
	admin off
	auto_https off
	persist_config off
}}
http://127.0.0.1:{port} {{
	redir /voice /voice/
	handle_path /voice/livekit/* {{
		reverse_proxy {livekit}
	}}
	handle_path /voice/* {{
		reverse_proxy {service} {{
			header_up X-Forwarded-Prefix /voice
		}}
	}}
	respond 404
}}
"""


@dataclass(frozen=True)
class Below:
    """The product below a path."""

    stack: Stack
    url: str


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Generator[Below]:
    """Run the product with Caddy in front of it."""
    folder, port = tmp_path_factory.mktemp("path"), servers.free_port()
    at = f"127.0.0.1:{port}/voice"
    with start_stack(
        folder, model="echo", capacity=2, livekit_public_url=f"ws://{at}/livekit"
    ) as stack:
        config = folder / "Caddyfile"
        livekit, service = stack.livekit.http_url, stack.url
        config.write_text(PROXY.format(port=port, livekit=livekit, service=service))
        line = [str(installers.caddy()), "run", "--adapter", "caddyfile", "--config", str(config)]
        answers = f"http://{at}/health"
        with servers.running(line, lambda: servers.http_answers(answers), folder / "caddy.log"):
            yield Below(stack, f"http://{at}")


async def test_a_call_under_a_path(below: Below, browser: Browser) -> None:
    """The page loads, calls and hears under the path, and all its addresses are below it."""
    url = f"{below.url}/?room=below&persona=assistant"
    async with open_visit(browser, below.stack, url) as visit:
        link = visit.page.get_by_role("link", name="Choose other voices")
        href = await link.evaluate("link => link.href")
        await visit.join("Ann")
        await visit.hears(voices=1)

        assert visit.page.url == url
        assert href == f"{below.url}/"
        assert visit.complaints == []
        assert {origin.partition("://")[2] for origin in visit.origins} == {
            below.url.partition("://")[2].partition("/")[0]
        }


async def test_the_documentation_under_a_path(below: Below, browser: Browser) -> None:
    """/docs uses no other host, shows examples and problems, and sends requests with a bearer."""
    page = await browser.new_page()
    failed: list[str] = []
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status > 399 else None)
    await page.goto(f"{below.url}/docs")
    await expect(page.get_by_text("Talk with full-duplex AI voices")).to_be_visible()
    say = page.locator("#operations-sessions-say")
    await say.get_by_role("button", name="say", exact=False).first.click()
    await expect(say.locator(".opblock-summary-operation-id")).to_have_text("say")
    await expect(say.locator(".body-param__example")).to_contain_text("Dinner is ready.")
    for status, code in (("409", "cannot_say"), ("429", "too_many_requests")):
        problem = say.locator(f"tr.response[data-code='{status}']")
        await expect(problem).to_contain_text(code)
    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await expect(dialog).to_contain_text("An API key (mrk_…)")
    await dialog.locator("#auth-bearer-value").fill(KEY)
    await dialog.locator("button[type=submit]").first.click()
    await dialog.locator(".btn-done").first.click()
    sessions = page.locator("#operations-sessions-list_sessions")
    await sessions.locator("button.opblock-summary-control").click()
    await sessions.get_by_role("button", name="Try it out").click()
    await sessions.get_by_role("button", name="Execute").click()
    await expect(
        sessions.locator(".live-responses-table td.response-col_status:not(.col_header)")
    ).to_have_text(re.compile("200"))
    sent = asked[-1]
    await page.close()

    assert failed == []
    assert sent.url.startswith(f"{below.url}/sessions")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert {urlsplit(each.url).netloc for each in asked} == {urlsplit(below.url).netloc}
