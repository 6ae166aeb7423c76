"""A call made by LiveKit's own React hooks in a real browser, and what the hooks say of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Browser, Page

from harness.stack import Stack
from tests.browser.visit import AUDIBLE_RMS, LISTEN, REFUSED, WITHIN_MS

# livekit-client ends open text streams with this error when one hangs up while words arrive, and
# the hooks of components-react 2.9.24 (core textStream.ts) read them without a catch.
CUT_OFF = "Room disconnected in the middle of receiving data"
FULL = "received 503"  # TokenSource's words when a busy worker refuses for a moment
AGENT_LIMIT_MS = 20_000  # useAgent gives up after it (components-react 2.9.24 useAgent.ts)


@dataclass
class Call:
    """The opened page `page/call.jsx`: `log` is its console, `complaints` the errors in it."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    log: list[str] = field(default_factory=list[str])

    async def start(self) -> None:
        """Start the call, again as long as the server says that it is full."""
        async with asyncio.timeout(WITHIN_MS / 1000):
            while error := await self._press_start():
                assert FULL in error, error
                await asyncio.sleep(0.5)

    async def _press_start(self) -> str:
        """Start once; return the error's message, or nothing."""
        return await self.page.evaluate(
            "() => window.session.start().then(() => '', (error) => error.message)"
        )

    async def end(self) -> None:
        """Hang up as an end button would; wait until the call has ended."""
        await self.page.evaluate("() => window.session.end()")
        await self.sees("seen.connection.at(-1).state === 'disconnected'")

    async def sees(self, condition: str) -> None:
        """Wait until a condition on `seen` holds."""
        await self.page.wait_for_function(f"() => {condition}", polling=50)

    async def is_answered(self) -> None:
        """Wait until the agent listens or speaks, as useAgent sees it."""
        await self.sees("['listening', 'speaking'].includes(seen.agent.at(-1).state)")

    async def logs(self, text: str) -> None:
        """Wait until the page has logged a text."""
        async with asyncio.timeout(WITHIN_MS / 1000):
            while not any(text in line for line in self.log):  # noqa: ASYNC110 - the page's console fills `log`
                await asyncio.sleep(0.05)

    async def seen(self, what: str) -> Any:
        """Return a value of the hooks by its name in `seen`."""
        return await self.page.evaluate(f"() => seen.{what}")

    async def states(self, of: str) -> list[str]:
        """Return the states that a hook went through, in order."""
        return [each["state"] for each in await self.seen(of)]

    async def hears(self, voices: int) -> None:
        """Wait until so many tracks have each been audible."""
        await self.page.wait_for_function(
            f"([count, audible]) => ({LISTEN})().filter((rms) => rms > audible).length >= count",
            arg=[voices, AUDIBLE_RMS],
            polling=20,
        )

    def note(self, kind: str, text: str) -> None:
        """Add a line to `log`, and an unknown error or warning to `complaints`."""
        self.log.append(text)
        known = any(line in text for line in (REFUSED, FULL, CUT_OFF))
        if kind in {"error", "warning"} and not known:
            self.complaints.append(f"{kind}: {text}")


@asynccontextmanager
async def open_call(
    browser: Browser, stack: Stack, frontend: str, **options: str
) -> AsyncGenerator[Call]:
    """Open the frontend with these options of `useSession`; it asks our endpoint for tokens."""
    context = await browser.new_context(reduced_motion="reduce")
    try:
        call = Call(await context.new_page())
        call.page.on("console", lambda message: call.note(message.type, message.text))
        call.page.on("pageerror", lambda error: call.note("error", str(error)))
        query = urlencode({"endpoint": f"{stack.url}/token", **options})
        await call.page.goto(f"{frontend}/?{query}")
        await call.sees("window.session")
        yield call
    finally:
        await context.close()
