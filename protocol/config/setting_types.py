"""The types of settings, each with what is expected in words. Pure."""

from typing import Annotated

from pydantic import Field

from protocol.text import Matching

Rate = Annotated[
    str,
    Matching(
        r"[1-9]\d{0,6}/(second|minute|hour|day)",
        "a number and a period, as 300/minute; periods: second, minute, hour, day",
    ),
]


def _url(*schemes: str) -> Matching:
    """Return the type of a URL with one of these schemes."""
    choices = " or ".join(f"{scheme}://" for scheme in schemes)
    return Matching(f"({'|'.join(schemes)})://.+", f"an address that begins with {choices}")


LiveKitUrl = Annotated[str, _url("ws", "wss", "http", "https")]
BrowserUrl = Annotated[str, _url("ws", "wss")]
RedisUrl = Annotated[str, _url("redis", "rediss", "unix")]
WebUrl = Annotated[str, _url("http", "https")]
ROOT_PATH = r"(/[A-Za-z0-9._~-]+)+"
ROOT_PATH_LIMIT = 200

Colour = Annotated[str, Matching(r"|#[0-9a-fA-F]{6}", "a colour as #1a66c4")]
PageName = Annotated[str, Matching(r"[^\x00-\x1f\x7f-\x9f]{1,60}", "a line of up to 60 characters")]
Language = Annotated[str, Matching(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?", "a language as en or pt-BR")]

RootPath = Annotated[
    str,
    Matching(f"|{ROOT_PATH}", "a path that begins with / and ends without it, as /voice"),
    Field(max_length=ROOT_PATH_LIMIT),
]

PortNumber = Annotated[int, Field(ge=1, le=65535)]
