"""The types of settings, each with what is expected in words. Pure."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from protocol.text import Matching

Rate = Annotated[
    str,
    Matching(
        r"[1-9]\d{0,6}/(second|minute|hour|day)",
        "a number and a period, as 300/minute; periods: second, minute, hour, day",
    ),
]


def _starting(*schemes: str) -> Matching:
    """Return the type of a text with one of these schemes."""
    choices = " or ".join(f"{scheme}://" for scheme in schemes)
    return Matching(f"({'|'.join(schemes)})://.+", f"an address that begins with {choices}")


def _with_host(url: str) -> str:
    """Raise `ValueError` for a URL without a host, with spaces, or with a port that cannot be."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0 and parts.netloc[-1] != ":"
        is_complete = parts.scheme == "unix" or has_host
    except ValueError:
        is_complete = False
    if not is_complete or any(each.isspace() for each in url):
        raise ValueError("expected scheme://host:port, an IPv6 address in [brackets]")
    return url


def _proxies(text: str) -> str:
    """Raise `ValueError` for an entry that is no client's address, or every client's.

    uvicorn would trust none, or believe whatever address a client writes into the header.
    """
    for entry in filter(None, (each.strip() for each in text.split(","))):
        try:
            is_everybody = entry == "*" or ip_network(entry).prefixlen == 0
            why = f"with {entry} every client chooses its own address" if is_everybody else ""
        except ValueError as error:
            why = str(error)
        if why:
            raise ValueError(f"expected addresses or networks, as 10.0.0.1,10.1.0.0/16: {why}")
    return text


def _in_home(path: Path) -> Path:
    """Return a path with `~` as the user's folder, which no shell fills in within a file."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("expected a user of this machine after ~") from None


LiveKitUrl = Annotated[str, _starting("ws", "wss", "http", "https"), AfterValidator(_with_host)]
BrowserUrl = Annotated[str, _starting("ws", "wss"), AfterValidator(_with_host)]
RedisUrl = Annotated[str, _starting("redis", "rediss", "unix"), AfterValidator(_with_host)]
WebUrl = Annotated[str, _starting("http", "https"), AfterValidator(_with_host)]
# As browsers write it; with a path or a slash at its end it would equal none.
Origin = Annotated[
    str,
    Matching(
        r"\*|null|[a-z][a-z0-9+.-]*://[^/?#@A-Z\s]+",
        "* or scheme://host:port in small letters without a path, as https://a.example",
    ),
]
Proxies = Annotated[str, AfterValidator(_proxies)]
OwnPath = Annotated[Path, AfterValidator(_in_home)]
Seconds = Annotated[float, Field(le=31_536_000)]  # a year
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
