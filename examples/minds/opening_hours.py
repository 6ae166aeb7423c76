"""An MCP server with one function: opening hours, from the file beside it. Speaks over stdin."""

import tomllib
from pathlib import Path
from typing import Literal

from mcp.server import MCPServer

HOURS = Path(__file__).with_suffix(".toml")
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

server = MCPServer("opening-hours")


@server.tool()
def opening_hours(day: Day) -> str:
    """Give the shop's opening hours of a day of the week."""
    hours = tomllib.loads(HOURS.read_text(encoding="utf-8"))
    return f"{day.capitalize()}: {hours[day]}"


if __name__ == "__main__":
    server.run()
