"""The proxies of the environment, and which of our connections use one."""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import httpx

from deploy.doctor.finding import Finding, fail, ok, warn
from protocol.config.addresses import http_of
from protocol.config.proxies import Proxy, proxy_for, proxy_url_for
from protocol.config.settings import Settings


def proxies(settings: Settings) -> list[Finding]:
    """Return a finding for each connection through a proxy; none if no proxy is set."""
    named = [f"{kind.upper()}_PROXY" for kind in getproxies_environment() if kind != "no"]
    if not named:
        return []
    ways = {"LIVEKIT_URL": settings.livekit_url, "JWT_JWKS_URL": settings.jwt_jwks_url or ""}
    through = [
        _through(name, url, proxy) for name, url in ways.items() if (proxy := proxy_for(url))
    ]
    past = f"{', '.join(sorted(named))} set; LiveKit is reached without it"
    return through or [ok("proxy.past", past)]


def _through(name: str, url: str, proxy: Proxy) -> Finding:
    host = urlsplit(url).hostname
    found = f"{name}: the connection to {host} leads through {proxy.shown}"
    if not proxy.usable:
        advice = f"set an http:// proxy, or NO_PROXY={host}"
        return fail("proxy.unusable", f"{found}, which is not an HTTP proxy", advice)
    advice = f"correct if {host} is outside your network; else set NO_PROXY={host}"
    return warn("proxy.in_between", found, advice)


def asked(url: str, **options: Any) -> httpx.Response:
    """GET a ws or http URL through the proxy that our processes use. Raises `httpx.HTTPError`."""
    try:
        return httpx.get(http_of(url), trust_env=False, proxy=proxy_url_for(url), **options)
    except (ImportError, ValueError) as error:  # a proxy of another protocol, such as SOCKS
        raise httpx.ProxyError(str(error)) from error
