"""The loading of a language model by its server, which may take longer than any answer may.

Ollama unloads a model that nobody has asked for five minutes, loads it with the next request, and
breaks the load off where that request ends (ollama/ollama issue 8006, "aborting load"). Were
answers the only requests, each would begin the load anew. So a small request comes first, and waits
for as long as a load takes.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing

import structlog

from mind.limits import Clock, Limits
from mind.model.answer import ChatModel
from mind.model.completion import pieces

GREETING: Mapping[str, str] = {"role": "user", "content": "Hello"}

log = structlog.get_logger(__name__)


class ModelLoad:
    """Has the model loaded before a question comes. One event loop."""

    def __init__(
        self,
        model: ChatModel,
        limits: Limits,
        loaded: Callable[[], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """Ask nothing yet. `loaded` is called when the model has answered the small request."""
        self._model = model
        self._limits = limits
        self._loaded = loaded
        self._clock = clock
        self._answered_s = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def answered(self) -> None:
        """Note that the model has answered just now."""
        self._answered_s = self._clock()

    def begin(self) -> None:
        """Ask the model unless it has answered lately or is asked already. Waits for nothing."""
        idle_s = self._clock() - self._answered_s
        if idle_s > self._limits.wake_after_s and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(), name="model loads")

    async def wait(self) -> None:
        """Wait until the request that is under way is over."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    async def aclose(self) -> None:
        """Break the request off."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        """Wait for the first piece of an answer; the rest is not read."""
        within_s = self._limits.load_within_s
        client = self._model.client.with_options(timeout=within_s)
        try:
            async with (
                asyncio.timeout(within_s),
                aclosing(pieces(client, self._model.name, [GREETING], ())) as stream,
            ):
                await anext(stream, None)
        except Exception as error:  # the next question is answered with the trouble
            log.info("model_not_woken", error=type(error).__name__)
        else:
            self.answered()
            self._loaded()
