"""Addresses: which are this machine's own, and how URLs are written and shown. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Return whether an address or a name is this machine's own; asks no name server."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def netloc(host: str, port: int) -> str:
    """Return host and port as in a URL: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_password(url: str) -> str:
    """Return a URL as it may be shown: scheme, host and port."""
    parts = urlsplit(url)
    host = parts.hostname or parts.path
    if parts.port:
        return f"{parts.scheme}://{netloc(host, parts.port)}"
    return f"{parts.scheme}://{f'[{host}]' if parts.hostname and ':' in host else host}"


def http_of(url: str) -> str:
    return url.replace("ws", "http", 1) if url.startswith("ws") else url
