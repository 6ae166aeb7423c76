"""The proxy to a URL, as the environment names it. None leads to this machine or past `NO_PROXY`.

The libraries differ: livekit-agents 1.8.9 (worker.py `AgentServer.__init__`) and LiveKit's native
library (livekit/rust-sdks livekit-net/src/native/proxy.rs `connect_ws`) read `HTTPS_PROXY` and
`HTTP_PROXY` but not `NO_PROXY`; aiohttp reads none of them by default; urllib and requests read
all. Each client gets the proxy as an argument, or its environment is changed to say the same.
"""

import os
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from protocol.config.addresses import is_loopback, without_password

SECURE = frozenset({"https", "wss"})
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # as urllib and requests write them
USABLE = ("http://", "https://")  # aiohttp takes both, LiveKit's native library the first


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and the variable that names it. `url` may hold a password."""

    url: str
    variable: str

    @property
    def shown(self) -> str:
        """The proxy in words, without its password."""
        return f"the proxy {without_password(self.url)} ({self.variable})"

    @property
    def usable(self) -> bool:
        """Return whether our clients support the proxy's scheme."""
        return self.url.startswith(USABLE)


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy to a URL; None if the connection is direct."""
    parts = urlsplit(url)
    kind = "https" if parts.scheme in SECURE else "http"
    named = getproxies_environment()
    proxy, exceptions = named.get(kind, ""), named.get("no", "")
    host = parts.hostname or ""
    if not proxy or not host or is_loopback(host) or _is_excepted(host, parts.port, exceptions):
        return None
    return Proxy(proxy if "://" in proxy else f"http://{proxy}", f"{kind.upper()}_PROXY")


def proxy_url_for(url: str) -> str | None:
    """Return the URL of the proxy, as aiohttp and httpx take it."""
    proxy = proxy_for(url)
    return proxy.url if proxy is not None else None


def keep_loopback_direct() -> None:
    """Add this machine to `NO_PROXY`, which requests and urllib read. Call once, from a main."""
    given = getproxies_environment().get("no", "")
    if given.strip() == "*":
        return
    entries = [entry for entry in given.split(",") if entry.strip()]
    entries += [name for name in LOOPBACK if name not in entries]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(entries)


def lead_native_library(url: str) -> None:
    """Set the environment so that LiveKit's native library takes the proxy to a URL.

    It ignores `NO_PROXY`: for a direct connection the variables are removed. Call this when nothing
    else of the process reads them any more.
    """
    proxy = proxy_url_for(url)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        if proxy is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = proxy


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Return whether `NO_PROXY` has the host, a domain above it, its network, or `*`."""
    return any(_names(entry.strip().lower(), host, port) for entry in exceptions.split(","))


def _names(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    name, _, wanted = entry.rpartition(":")
    if name and wanted.isdigit() and (name.endswith("]") or ":" not in name):  # with a port
        return port == int(wanted) and _names(name, host, None)
    try:
        address = ip_address(host)
    except ValueError:
        domain = entry.removeprefix("*").removeprefix(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    try:
        return address in ip_network(entry.strip("[]"), strict=False)
    except ValueError:  # the entry is a name, or empty
        return False
