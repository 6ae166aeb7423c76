"""The minds of one process: the language model's client and the tools, shared by all rooms."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import structlog

from mind.events import TroubleCode
from mind.limits import Limits
from mind.room import RoomMind
from protocol.config.proxies import proxy_url_for
from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.minds import ChatMind, LinesMind, MindTables
from protocol.retry import Retry
from protocol.room_spec import PersonaSpec

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from mind.model.answer import ChatModel
    from mind.model.loading import ModelLoad
    from mind.tools.toolbox import Toolbox

NO_KEY = "none"  # servers that need no key ignore it; the client insists on one

log = structlog.get_logger(__name__)


class Minds:
    """All named minds. An async context manager; one event loop."""

    def __init__(
        self, tables: MindTables, settings: Settings, limits: Limits | None = None
    ) -> None:
        """Connect nothing yet. Raises `InvalidInput` where a mind needs a setting that is empty."""
        needing = sorted(name for name, table in tables.items() if isinstance(table, ChatMind))
        if needing and not (settings.mind_url and settings.mind_model):
            raise InvalidInput(
                f"MIND_URL and MIND_MODEL: expected both, the mind {needing[0]!r} needs them"
            )
        _silence_libraries()
        self.limits = limits or Limits(calls_per_minute=settings.mind_calls_per_minute)
        self.retry = Retry(self.limits.first_retry_s, self.limits.last_retry_s)
        self.last_trouble: TroubleCode = "mind_away"
        self._has_chat = bool(needing)
        self._tables = tables
        self._settings = settings
        # These three only with a mind of kind `chat`.
        self._model: ChatModel | None = None
        self._load: ModelLoad | None = None
        self._toolboxes: dict[str, Toolbox] = {}
        self._stack = AsyncExitStack()
        self._starting: asyncio.Future[list[bool]] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect the tools, and wait for none. Raises `InvalidInput`."""
        if self._has_chat:
            await self._open_chat()
        connecting = [
            toolbox.connect(self.limits.tool_start_s) for toolbox in self._toolboxes.values()
        ]
        self._starting = asyncio.gather(*connecting)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections. Close the rooms first."""
        assert self._starting is not None
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        await self._stack.aclose()

    async def _open_chat(self) -> None:
        # Here, because openai and mcp take a second and 60 MB that minds of fixed lines need not.
        from mind.model.answer import ChatModel
        from mind.model.loading import ModelLoad
        from mind.tools.toolbox import Toolbox

        async with AsyncExitStack() as stack:
            for name, table in self._tables.items():
                if isinstance(table, ChatMind):
                    source = f"{name}.toml: mind"
                    toolbox = Toolbox(table.tools, self.limits, source)
                    self._toolboxes[name] = toolbox
                    stack.push_async_callback(toolbox.aclose)
            client = _client(self._settings, self.limits)
            stack.push_async_callback(client.close)
            self._model = ChatModel(client, self._settings.mind_model)
            self._load = ModelLoad(self._model, self.limits, self._loaded)
            stack.push_async_callback(self._load.aclose)
            self._stack = stack.pop_all()

    async def ready(self) -> None:
        """Wait until each tool server is connected or has failed. Rooms need not wait."""
        assert self._starting is not None
        await asyncio.wait([self._starting])

    async def awake(self) -> None:
        """Wait until the model is loaded or cannot be, where `wake` asked for it."""
        if self._load is not None:
            await self._load.wait()

    def wake(self, minds: Iterable[str]) -> None:
        """Have the model loaded, if one of these minds needs it. Waits for nothing."""
        is_needed = any(isinstance(self._tables.get(name), ChatMind) for name in minds)
        if is_needed and self._load is not None:
            self._load.begin()

    def worked(self) -> None:
        """Note that the model has answered: it may be asked at once."""
        self.retry.worked()
        if self._load is not None:
            self._load.answered()

    def failed(self, mind: str, code: TroubleCode, wait_s: float) -> None:
        """Note that the model's server failed: no room asks it for a while, `wait_s` at least.

        A slow one may be asleep.
        """
        self.last_trouble = code
        self.retry.failed(min(wait_s, self.limits.server_retry_s))
        if code == "mind_slow":
            self.wake([mind])

    def _loaded(self) -> None:
        if self.last_trouble == "mind_slow":
            self.retry.worked()

    def open_room(self, personas: Iterable[PersonaSpec]) -> RoomMind:
        """Return the mind of a room with these personas."""
        return RoomMind(self, personas)

    def table(self, name: str) -> LinesMind | ChatMind | None:
        """Return the mind of a name; None: there is none."""
        if name and name not in self._tables:
            log.warning("mind_unknown", mind=name)
        return self._tables.get(name)

    def toolbox(self, name: str) -> "Toolbox":
        """Return the functions of a mind of kind `chat`."""
        return self._toolboxes[name]

    @property
    def model(self) -> "ChatModel":
        """The language model; there is one wherever a mind of kind `chat` is."""
        assert self._model is not None
        return self._model


def _silence_libraries() -> None:
    """Keep words and addresses out of a log of level `debug`: these log requests whole."""
    for name in ("openai", "mcp", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _client(settings: Settings, limits: Limits) -> "AsyncOpenAI":
    """Make the client; it tries nothing twice, as the room decides when to ask again."""
    from openai import AsyncOpenAI

    from mind.http_client import http_client

    assert settings.mind_url is not None
    url = settings.mind_url
    proxy = proxy_url_for(url)
    key = reveal(settings, "mind_api_key", "the language model") if settings.mind_api_key else ""
    return AsyncOpenAI(
        base_url=url,
        api_key=key or NO_KEY,
        max_retries=0,
        timeout=limits.call_within_s,
        http_client=http_client(proxy, limits.call_bytes, limits.call_within_s, repeats=True),
    )
