"""Explains to an operator why LiveKit cannot be reached or refuses our tokens.

`connection_failure` and `refusal_of` are pure. `ask_refusal` asks LiveKit once more over HTTP: a
WebSocket's client does not read the body of a refusal. No sentence quotes LiveKit, whose own
messages contain the token (livekit-server 1.13.5 pkg/service/auth.go).
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


@dataclass(frozen=True, slots=True)
class TokenRefusal:
    """Why LiveKit refuses a token of ours."""

    kind: Literal["key", "secret", "clock", "away", "other"]
    sentence: str


def connection_failure(error: BaseException, url: str) -> str:
    """Return why a URL was not reached; it names the proxy on the way."""
    where, proxy = without_password(url), proxy_for(url)
    by = proxy.shown if proxy is not None else "a proxy"
    match error:
        case aiohttp.ClientProxyConnectionError():
            return f"{by} does not answer: {_system_message(error)}{proxy_hint(url)}"
        case aiohttp.ClientHttpProxyError():
            return f"{by} answered {error.status} to CONNECT for {where}{proxy_hint(url)}"
        case aiohttp.ClientConnectorCertificateError():
            return f"{where}: its certificate is not accepted: {error.certificate_error}"
        case aiohttp.ClientConnectorDNSError():
            reason = f"{where}: the name cannot be resolved"
        case aiohttp.WSServerHandshakeError():
            reason = f"{where} answered {error.status} instead of 101 (no WebSocket)"
        case aiohttp.ClientResponseError():
            reason = f"{where} answered, but not with HTTP"
        case TimeoutError():
            reason = f"{where} does not answer in time"
        case _:
            reason = f"{where} does not answer: {_system_message(error)}"
    return f"{reason}{proxy_hint(url)}"


def proxy_hint(url: str) -> str:
    """Return which proxy leads to a URL, and how to bypass it; empty if there is none."""
    proxy = proxy_for(url)
    if proxy is None:
        return ""
    host = urlsplit(url).hostname
    return f"; the connection goes through {proxy.shown}; NO_PROXY={host} bypasses it"


async def ask_refusal(session: aiohttp.ClientSession, url: str, token: str) -> TokenRefusal:
    """Ask LiveKit why it refused a token that was made just now."""
    address = f"{http_of(url).rstrip('/')}/rtc"  # answers 404 to a valid token without a WebSocket
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(ANSWER_S), session.get(address, headers=headers) as answer:
            return refusal_of(answer.status, await answer.text(), answer.headers, token, url)
    except (TimeoutError, aiohttp.ClientError, UnicodeDecodeError) as error:
        return TokenRefusal("other", connection_failure(error, url))


def refusal_of(
    status: int, body: str, headers: Mapping[str, str], token: str, url: str
) -> TokenRefusal:
    """Return the reason in LiveKit's answer to a token that was made just now."""
    where = without_password(url)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    key = shown_key(str(claims["iss"]))
    if "invalid API key" in body:
        return TokenRefusal("key", f"LiveKit at {where} does not know the key {key}")
    if "signature is invalid" in body:
        return TokenRefusal("secret", f"LiveKit at {where} has another secret for the key {key}")
    if "not valid yet" in body or "token is expired" in body:
        clocks = clock_difference(clock_ahead_s(headers, int(claims["nbf"])))
        return TokenRefusal("clock", f"{clocks} LiveKit's at {where}, which refuses its tokens")
    reason = f"{where} answered {status} to a token of the key {key}"
    return TokenRefusal("other", f"{reason}{proxy_hint(url)}")


def clock_ahead_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return how far our time is ahead of an answer's `Date`; None if it has none."""
    try:
        return now_s - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def clock_difference(ahead_s: float | None) -> str:
    """Return the beginning of a sentence that ends with the other clock's owner."""
    if ahead_s is None:
        return "this machine's clock differs from"
    return f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'}"


def _system_message(error: BaseException) -> str:
    """Return the system's message without the address, which the sentence has already."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else type(error).__name__
