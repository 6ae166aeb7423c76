"""The functions of one mind: those of its MCP servers, and those over HTTP."""

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from mind.limits import Limits
from mind.tools.function import LEAVE, SAY, Function
from mind.tools.http_function import HttpFunctionCaller
from mind.tools.mcp_server import McpServer
from protocol.errors import InvalidInput
from protocol.minds import HttpFunction, McpTools

log = structlog.get_logger(__name__)


class Toolbox:
    """All functions that one mind may call, shared by the rooms of a process."""

    def __init__(
        self, tools: Iterable[McpTools | HttpFunction], limits: Limits, source: str
    ) -> None:
        """Connect nothing yet. Raises `InvalidInput` naming `source` and the field of a table."""
        self._callers: list[HttpFunctionCaller] = []
        self._servers: list[McpServer] = []
        for number, tool in enumerate(tools):
            try:
                if isinstance(tool, HttpFunction):
                    self._callers.append(HttpFunctionCaller(tool, limits))
                else:
                    self._servers.append(McpServer(tool, limits))
            except InvalidInput as error:
                raise InvalidInput(f"{source}: tools.{number}.{error}") from None

    async def connect(self, within_s: float) -> bool:
        """Wait for all MCP servers; return whether all are connected."""
        return all(await asyncio.gather(*(server.connect(within_s) for server in self._servers)))

    def functions(self) -> Mapping[str, Function]:
        """Return the functions that can be called now, by name.

        Where two have one name the first stays: the operator can choose with `only`.
        """
        found: dict[str, Function] = {}
        offered = [caller.function for caller in self._callers]
        offered += [function for server in self._servers for function in server.functions]
        for function in offered:
            if function.name in found.keys() | {SAY, LEAVE}:
                log.warning("tool_name_taken", tool=function.name)
            else:
                found[function.name] = function
        return found

    async def aclose(self) -> None:
        """End all connections."""
        closing = [server.aclose() for server in self._servers]
        await asyncio.gather(*closing, *(caller.aclose() for caller in self._callers))
