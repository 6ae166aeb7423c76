"""HTTP as a mind uses it: bounded answers, no redirects, a proxy that its caller names.

The caller asks for the proxy as the minds start: LiveKit's library is led past it soon after.
"""

from collections.abc import AsyncIterator, Mapping

import httpx2

IDENTITY = frozenset({"", "identity"})


class TooLong(httpx2.TransportError):
    """A server sends more than it may."""


class Compressed(httpx2.TransportError):
    """A server sends compressed bytes, whose size is not known beforehand."""


def http_client(
    proxy: str | None,
    most_bytes: int,
    within_s: float,
    headers: Mapping[str, str] | None = None,
    *,
    repeats: bool = False,
) -> httpx2.AsyncClient:
    """Make a client for one server: at most `most_bytes` an answer, `within_s` for each wait.

    `repeats`: a request changes nothing, and is sent again where a connection ends under it.
    """
    inner = httpx2.AsyncHTTPTransport(proxy=proxy)
    return httpx2.AsyncClient(
        transport=_Bounded(inner, most_bytes, repeats),
        headers={"Accept-Encoding": "identity", **(headers or {})},
        timeout=within_s,
        follow_redirects=False,  # elsewhere is not where the operator allowed calls to
        trust_env=False,
    )


class _Bounded(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport, most_bytes: int, repeats: bool) -> None:
        self._inner = inner
        self._most_bytes = most_bytes
        self._repeats = repeats

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer's stream counts its bytes."""
        response = await self._send(request)
        if response.headers.get("content-encoding", "").strip().lower() not in IDENTITY:
            await response.aclose()
            raise Compressed("compressed although it was asked not to be", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, self._most_bytes)
        return response

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._inner.handle_async_request(request)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
            if not self._repeats:
                raise
            # A connection that was kept is ended by the server after some seconds, as uvicorn's
            # five, and a question may come at that moment.
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._inner = inner
        self._left = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise TooLong("the answer is too long")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
