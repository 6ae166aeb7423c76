"""Why LiveKit cannot be reached, or does not let us in, in words that an operator can act on.

`trouble_with` and `refusal_of` are pure; `ask_why` asks LiveKit once more, because what it says
about a refusal comes with an answer that a WebSocket's client does not read.
No sentence holds a token: LiveKit's own words do (livekit-server 1.13.5 pkg/service/auth.go).
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import jwt

from protocol.config.addresses import http_of, without_password
from protocol.config.proxies import proxy_for
from protocol.config.secret import shown_key

ANSWER_S = 5.0
REFUSED = (401, 403)
Kind = Literal["key", "secret", "clock", "away", "other"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The fault that LiveKit finds in a token of ours."""

    kind: Kind
    sentence: str


def trouble_with(error: BaseException, url: str) -> str:
    """Say why a URL was not reached; names a proxy that is in the way."""
    where, proxy = without_password(url), proxy_for(url)
    by = proxy.shown if proxy is not None else "a proxy"
    match error:
        case aiohttp.ClientProxyConnectionError():
            return f"{by} does not answer: {_words(error)}{way_past_proxy(url)}"
        case aiohttp.ClientHttpProxyError():
            return f"{by} answered {error.status} to CONNECT for {where}{way_past_proxy(url)}"
        case aiohttp.ClientConnectorCertificateError():
            return f"{where}: its certificate is not accepted: {error.certificate_error}"
        case aiohttp.ClientConnectorDNSError():
            said = f"{where}: the name leads nowhere"
        case aiohttp.WSServerHandshakeError():
            said = f"{where} answered {error.status} instead of 101 (no WebSocket)"
        case aiohttp.ClientResponseError():
            said = f"{where} answers what is no HTTP"
        case TimeoutError():
            said = f"{where} does not answer in time"
        case _:
            said = f"{where} does not answer: {_words(error)}"
    return f"{said}{way_past_proxy(url)}"


def way_past_proxy(url: str) -> str:
    """Name the proxy on the way to a URL, and how to go past it; empty where there is none."""
    proxy = proxy_for(url)
    if proxy is None:
        return ""
    host = urlsplit(url).hostname
    return f"; the way leads through {proxy.shown}, and past it with NO_PROXY={host}"


async def ask_why(session: aiohttp.ClientSession, url: str, token: str) -> Refusal:
    """Ask LiveKit why it refused a token that was minted just now."""
    address = f"{http_of(url).rstrip('/')}/rtc"  # with a good token and no WebSocket a plain 404
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(ANSWER_S), session.get(address, headers=headers) as answer:
            return refusal_of(answer.status, await answer.text(), answer.headers, token, url)
    except (TimeoutError, aiohttp.ClientError, UnicodeDecodeError) as error:
        return Refusal("other", trouble_with(error, url))


def refusal_of(status: int, body: str, headers: Mapping[str, str], token: str, url: str) -> Refusal:
    """Understand LiveKit's answer to a token that was minted just now."""
    where = without_password(url)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    key = shown_key(str(claims["iss"]))
    if "invalid API key" in body:
        return Refusal("key", f"LiveKit at {where} does not know the key {key}")
    if "signature is invalid" in body:
        return Refusal("secret", f"LiveKit at {where} has another secret for the key {key}")
    if "not valid yet" in body or "token is expired" in body:
        ahead = ahead_s(headers, int(claims["nbf"]))
        words = f"{clock_words(ahead)} LiveKit's at {where}, which refuses its tokens"
        return Refusal("clock", words)
    said = f"{where} answered {status} to a token of the key {key}"
    return Refusal("other", f"{said}{way_past_proxy(url)}")


def ahead_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Give how far a time of ours is ahead of an answer's `Date`; None where it has none."""
    try:
        return now_s - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def clock_words(ahead: float | None) -> str:
    """Say how far this machine's clock is off; goes on with whose clock it is compared to."""
    if ahead is None:
        return "this machine's clock differs from"
    return f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"


def _words(error: BaseException) -> str:
    """Say what the system said; no address, which stands in the sentence already."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else type(error).__name__
