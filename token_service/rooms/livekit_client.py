"""The client of LiveKit's server API: it uses the environment's proxy and explains refusals.

livekit-api 1.2.1 alone takes no proxy, and discards why LiveKit refuses a token: an
unknown key, another secret and a wrong clock would be one and the same error.
"""

from types import SimpleNamespace

import aiohttp
from livekit import api

from protocol.config import tracing
from protocol.config.livekit_trouble import REFUSED, connection_failure, proxy_hint, refusal_of
from protocol.config.proxies import proxy_for, proxy_url_for
from token_service.refusals import LiveKitAway

OWN_TYPES = ("application/protobuf", "application/json")  # of Twirp's answers and errors


class LiveKitClient(api.LiveKitAPI):
    """A client that raises `LiveKitAway` with the reason for which LiveKit refuses our tokens."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        """Connect nothing yet; needs a running loop."""
        self._own_session = aiohttp.ClientSession(
            proxy=proxy_url_for(url), trace_configs=[_traced(), _explaining(url)]
        )
        super().__init__(url, key, secret, session=self._own_session, failover=False)

    async def aclose(self) -> None:
        """Close the HTTP session; `LiveKitAPI` closes only sessions of its own."""
        await self._own_session.close()


def _traced() -> aiohttp.TraceConfig:
    """Return a trace that makes a span of each request below the current one."""

    async def began(
        _: aiohttp.ClientSession, request: SimpleNamespace, start: aiohttp.TraceRequestStartParams
    ) -> None:
        parent = tracing.current()
        request.span = tracing.begin(f"LiveKit {start.url.name}", parent) if parent else None

    async def ended(_: aiohttp.ClientSession, request: SimpleNamespace, __: object) -> None:
        if request.span is not None:
            request.span.end()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(began)  # pyright: ignore[reportArgumentType]
    trace.on_request_end.append(ended)  # pyright: ignore[reportArgumentType]
    trace.on_request_exception.append(ended)  # pyright: ignore[reportArgumentType]
    return trace


def _explaining(url: str) -> aiohttp.TraceConfig:
    """Return a trace that raises `LiveKitAway` with the reason of a refused request."""

    async def answered(
        _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        answer = end.response
        if answer.status in REFUSED:
            token = end.headers["Authorization"].removeprefix("Bearer ")
            refusal = refusal_of(
                answer.status, await answer.text(errors="replace"), answer.headers, token, url
            )
            raise LiveKitAway(f"{refusal.sentence[0].upper()}{refusal.sentence[1:]}.")
        if answer.content_type not in OWN_TYPES and (answer.ok or proxy_for(url) is not None):
            answer.close()
            raise LiveKitAway(
                f"The answer is not LiveKit's (status {answer.status}){proxy_hint(url)}."
            )

    async def failed(
        _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if isinstance(end.exception, aiohttp.ClientError) and proxy_for(url) is not None:
            raise LiveKitAway(f"LiveKit does not answer: {connection_failure(end.exception, url)}.")

    trace = aiohttp.TraceConfig()  # whose types know one parameter of the three
    trace.on_request_end.append(answered)  # pyright: ignore[reportArgumentType]
    trace.on_request_exception.append(failed)  # pyright: ignore[reportArgumentType]
    return trace
