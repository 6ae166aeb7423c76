"""LiveKit's configuration for development, made from settings.

Production has a file of its own, `livekit.yaml`. Unknown keys are fatal to the server.
"""

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.config.addresses import netloc
from protocol.config.secret import reveal
from protocol.config.settings import Settings

LIVEKIT_NAMES = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
LOOPBACK = "127.0.0.1"
TCP_HOST = "0.0.0.0"  # where WebRTC over TCP is bound, whatever the address of the node


def livekit_keys() -> dict[str, str]:
    """Return a new key name and a secret of 256 random bits, by the names of their settings."""
    key, secret = LIVEKIT_NAMES
    return {key: f"rooms-{secrets.token_hex(4)}", secret: secrets.token_hex(32)}


def tcp_port(livekit_port: int) -> int:
    """Return the port for WebRTC over TCP: 7881 for the default 7880, as LiveKit does."""
    return livekit_port + 1


def udp_port(livekit_port: int) -> int:
    """Return the port for all WebRTC over UDP (7882)."""
    return livekit_port + 2


def udp_host(node_ip: str, own_ip: str = "") -> str:
    """Return the address to look at for UDP; the node's address may be a router's."""
    return LOOPBACK if node_ip == LOOPBACK and not own_ip else "0.0.0.0"


# No server answers there, and none has to: without a value LiveKit names public STUN servers, and
# each connection starts threads that look their names up, for minutes where there is no DNS.
UNUSED_STUN = "127.0.0.1:3478"


def file_in(folder: Path, livekit_port: int) -> Path:
    """Return the path of a server's configuration; each port has its own."""
    return folder / f"livekit-{livekit_port}.yaml"


def development(
    settings: Settings,
    *,
    port: int,
    node_ip: str = LOOPBACK,
    own_ip: str = "",
    quiet: bool = True,
    redis: bool = False,
) -> dict[str, Any]:
    """Return the configuration of one node. Media is reachable at `node_ip`.

    Beside the loopback also at this machine's `own_ip`: Firefox sends none to the loopback.
    It knows its rooms by itself: with a `redis`, which is for several nodes, SIP, ingress and
    egress, it forgets whom its rooms hold when that loses its memory.
    """
    secret = reveal(settings, "livekit_api_secret", "configuration of LiveKit")
    return ({"redis": _redis(settings.redis_url)} if redis else {}) | {
        "port": port,
        "bind_addresses": [LOOPBACK],
        "rtc": {
            "tcp_port": tcp_port(port),
            "udp_port": udp_port(port),
            "use_external_ip": False,
            "enable_loopback_candidate": node_ip == LOOPBACK,
            "stun_servers": [UNUSED_STUN],
        }
        | _media_at(node_ip, own_ip),
        "keys": {settings.livekit_api_key: secret},
        # Later than our host leaves: a room that LiveKit closes leaks a thread per voice.
        "room": {"departure_timeout": round(settings.empty_room_grace_s) + 20},
        "agents": {"target_load": 1.0},  # below, the last slots of a worker would stay empty
        "webhook": {
            "api_key": settings.livekit_api_key,
            "urls": [f"http://{_webhook_at(settings)}/webhook"],
        },
        "logging": {"level": "warn" if quiet else "info", "json": False},
    }


def _media_at(node_ip: str, own_ip: str) -> dict[str, Any]:
    if node_ip != LOOPBACK:
        return {"node_ip": node_ip}
    if own_ip:  # a `node_ip` would be named in place of both
        return {"ips": {"includes": [f"{LOOPBACK}/32", f"{own_ip}/32"]}}
    return {"node_ip": node_ip, "interfaces": {"includes": ["lo"]}}


def _webhook_at(settings: Settings) -> str:
    """Return the address of the token service for LiveKit on this machine."""
    return netloc("::1" if settings.host == "::1" else LOOPBACK, settings.port)


def _redis(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    given = {
        "address": netloc(parts.hostname or LOOPBACK, parts.port or 6379),
        "db": int(parts.path.strip("/") or 0),
        "username": parts.username,
        "password": parts.password,
        "use_tls": parts.scheme == "rediss",
    }
    return {key: value for key, value in given.items() if value not in (None, "", False)}
