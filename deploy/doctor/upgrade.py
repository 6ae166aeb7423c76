"""A WebSocket to LiveKit, as a worker and as a browser open it; closed at once.

A browser's is a join, so it makes a room for a second, hidden and with a name that no other has.
"""

import asyncio
import secrets
import ssl
from datetime import timedelta

import aiohttp
from livekit import api

from protocol.config.livekit_trouble import REFUSED, TokenRefusal, ask_refusal, connection_failure
from protocol.config.proxies import proxy_url_for

WITHIN_S = 5.0
GOOD_FOR = timedelta(minutes=1)
ROOM_ENDS_AFTER_S = 1


def as_worker(url: str, key: str, secret: str) -> TokenRefusal | None:
    """Open the WebSocket through which workers register; return why that fails."""
    grants = api.VideoGrants(agent=True)
    token = api.AccessToken(key, secret).with_ttl(GOOD_FOR).with_grants(grants)
    return asyncio.run(_opened(url, "agent", token.to_jwt(), {}))


def as_browser(url: str, key: str, secret: str) -> TokenRefusal | None:
    """Join a room for a moment; return why that fails."""
    room = f"moshi-rooms-doctor-{secrets.token_hex(6)}"
    grants = api.VideoGrants(
        room_join=True, room=room, hidden=True, can_publish=False, can_subscribe=False
    )
    short = api.RoomConfiguration(
        empty_timeout=ROOM_ENDS_AFTER_S, departure_timeout=ROOM_ENDS_AFTER_S
    )
    token = api.AccessToken(key, secret).with_identity("doctor").with_ttl(GOOD_FOR)
    signed = token.with_grants(grants).with_room_config(short).to_jwt()
    return asyncio.run(_opened(url, "rtc", signed, {"access_token": signed, "protocol": "15"}))


async def _opened(url: str, path: str, token: str, query: dict[str, str]) -> TokenRefusal | None:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    headers = {} if query else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, proxy=proxy_url_for(url)) as session:
        try:
            async with (
                asyncio.timeout(WITHIN_S),
                session.ws_connect(f"{url.rstrip('/')}/{path}", headers=headers, params=query),
            ):
                return None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in REFUSED:
                return await ask_refusal(session, url, token)
            kind = "away" if isinstance(error, TimeoutError) else "other"
            return TokenRefusal(kind, connection_failure(error, url))
