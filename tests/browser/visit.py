"""One visit to the page in a real browser: what a person does, sees and hears."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from playwright.async_api import Page, expect

WITHIN_MS = 30_000  # a deadline for a busy machine
expect.set_options(timeout=WITHIN_MS)

# Measures each <audio> that plays; keeps its loudest 20 ms.
LISTEN = """() => {
  const heard = (window.heard ??= new Map());
  const sound = (window.ears ??= new AudioContext());
  for (const audio of document.querySelectorAll('audio')) {
    if (heard.has(audio.srcObject?.id) || audio.paused || !audio.srcObject) continue;
    const analyser = new AnalyserNode(sound, { fftSize: 1024 });
    sound.createMediaStreamSource(audio.srcObject).connect(analyser);
    heard.set(audio.srcObject.id, { analyser, loudest: 0 });
  }
  const samples = new Float32Array(1024);
  for (const each of heard.values()) {
    each.analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    each.loudest = Math.max(each.loudest, rms);
  }
  return [...heard.values()].map(({ loudest }) => loudest);
}"""
AUDIBLE_RMS = 0.005  # -46 dBFS; personas speak at -13

# The browser's question for the microphone, until a person answers.
UNANSWERED = "() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}) }"

# livekit-client logs these words where no persona came within ten seconds.
WAITED = re.compile("preconnect buffer|buffer already closed")
# Its warnings of a connection that takes as long on a busy machine.
SLOW = re.compile(
    "connection state mismatch|negotiation|ping timeout|disconnected|reconnect"
    "|Initial connection failed|transport stuck"
)
REFUSED = (
    "the server responded with a status of 503"  # Chromium logs an answer that the page expects
)


@dataclass
class Visit:
    """An open page, with the warnings that it logged and the origins that it connected to."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list[str])
    origins: set[str] = field(default_factory=set[str])

    async def open(self) -> Self:
        """Load the page and wait until its start button works."""
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("request", lambda request: self._ask(request.url))
        self.page.on("websocket", lambda socket: self._ask(socket.url))
        await self.page.goto(self.url)
        await self.may_start()
        return self

    async def count_bytes(self) -> list[float]:
        """Return a list to which the bytes of each answer will be added."""
        sent: list[float] = []
        browser = await self.page.context.new_cdp_session(self.page)
        await browser.send("Network.enable")
        browser.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
        return sent

    async def pick(self, *labels: str) -> None:
        """Pick exactly these personas."""
        for box in await self.page.get_by_role("checkbox").all():
            await box.uncheck()
        for label in labels:
            await self.page.get_by_role("checkbox", name=label).check()

    async def press(self, name: str) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def press_tab(self, name: str) -> None:
        """Open one of the panels beside the stage."""
        await self.page.get_by_role("tab", name=name).click()

    async def type(self, line: str) -> None:
        """Type a line to the room."""
        await self.page.get_by_role("textbox", name="Type to the room").fill(line)
        await self.press("Send")

    async def join(self, name: str) -> None:
        """Join a link's room under a name, and wait until the call is live."""
        await self.page.get_by_role("textbox", name="Your name").fill(name)
        await self.press("Join the room")
        await self.is_answered()

    async def cancel_join(self) -> None:
        """Press the button to join, leave the browser's question open, cancel, and reload."""
        await self.page.evaluate(UNANSWERED)
        await self.press("Join the room")
        await self.sees("Waiting for your microphone")
        await self.press("Cancel")
        await self.may_start()
        await self.page.reload()
        await self.may_start()

    async def test_microphone(self) -> None:
        """Press the button of the microphone's test twice."""
        await self.page.locator("summary", has_text="Microphone and sound").click()
        await self.page.get_by_role("button", name="Test microphone").dblclick()

    async def set_volume(self, label: str, volume: float) -> None:
        """Move the slider of a participant's volume."""
        await self.page.get_by_role("slider", name=f"Volume of {label}").fill(str(volume))

    async def volumes(self) -> list[float]:
        """Return the volumes at which the page plays tracks."""
        return await self.page.evaluate(
            "[...document.querySelectorAll('audio')].map(({ volume }) => volume)"
        )

    async def focus_is_kept(self) -> None:
        """Check that the focus is on the screen's heading."""
        await expect(self.page.locator("h1")).to_be_focused()

    async def still_open(self) -> dict[str, int]:
        """Return how much of each kind is open, in a visit that began with `census.js`."""
        return await self.page.evaluate("() => window.left()")

    async def call(self, *labels: str) -> None:
        """Pick, start, and wait until the call is live."""
        await self.pick(*labels)
        await self.press("Start talking")
        await self.is_answered()

    async def call_again(self) -> None:
        """Call the same personas once more, and wait until the call is live."""
        await self.press("Call again")
        await self.is_answered()

    async def is_answered(self) -> None:
        """Wait until the call is live, also after a wait in line."""
        await self.reaches("live")

    async def may_start(self) -> None:
        """Wait until the start button works, whatever its label."""
        await expect(self.page.locator(".launch .go")).to_be_enabled()

    async def reaches(self, phase: str, within_ms: int = WITHIN_MS) -> None:
        """Wait until the badge shows this phase."""
        badge = self.page.locator(".badge")
        await expect(badge).to_have_attribute("data-phase", phase, timeout=within_ms)

    async def sees(self, text: str | re.Pattern[str]) -> None:
        """Wait until a text can be read on the page."""
        await expect(self.page.get_by_text(text).first).to_be_visible()

    async def glimpses(self, text: str) -> None:
        """Wait until a text was on the page, if only for one frame: `sees` looks once a second."""
        await self.page.wait_for_function(
            "(text) => document.body.innerText.includes(text)", arg=text, polling="raf"
        )

    async def hears(self, voices: int) -> None:
        """Wait until so many tracks have each been audible."""
        await self.page.wait_for_function(
            f"([count, audible]) => ({LISTEN})().filter((rms) => rms > audible).length >= count",
            arg=[voices, AUDIBLE_RMS],
            polling=20,
        )

    async def hears_nothing(self) -> None:
        """Wait for three seconds in which nothing is audible: people pause for two."""
        await self.page.wait_for_function(
            f"([audible, ms]) => {{ if (({LISTEN})().some((rms) => rms > audible))"
            " { window.heard.clear(); window.quietSince = undefined }"
            " window.quietSince ??= performance.now();"
            " return performance.now() - window.quietSince > ms }",
            arg=[AUDIBLE_RMS, 3_000],
            polling=20,
        )

    async def forget_sounds(self) -> None:
        """Forget which tracks were audible so far."""
        await self.page.evaluate("() => window.heard?.clear()")

    async def sees_level(self, selector: str) -> None:
        """Wait until the figure in an element grows with a sound."""
        await self.page.wait_for_function(
            "(selector) => document.querySelector(`${selector} .figure`)"
            "?.style.getPropertyValue('--level') > 0.2",
            arg=selector,
        )

    async def sees_words(self, count: int) -> None:
        """Wait until the bubbles have so many words."""
        await self.page.wait_for_function(
            "(count) => [...document.querySelectorAll('.bubble p')]"
            ".flatMap((bubble) => bubble.textContent.split(' ')).length >= count",
            arg=count,
        )

    async def identity(self) -> str:
        """Return the identity of the first persona on the stage."""
        seat = self.page.locator(".seat[data-identity]").first
        return await seat.get_attribute("data-identity") or ""

    def _note(self, kind: str, text: str) -> None:
        is_slow = kind == "warning" and SLOW.search(text)
        known = REFUSED in text or WAITED.search(text) or is_slow
        if kind in {"error", "warning"} and not known:
            self.complaints.append(f"{kind}: {text}")

    def _ask(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"}:
            self.origins.add(f"{parts.scheme}://{parts.netloc}")
