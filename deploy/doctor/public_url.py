"""The address that browsers use, checked from this machine and not from the internet."""

import socket
import ssl
from urllib.parse import urlsplit

import httpx

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.doctor.proxies import asked
from deploy.doctor.upgrade import as_browser
from protocol.config.addresses import is_loopback
from protocol.config.livekit_trouble import proxy_hint

WITHIN_S = 5.0
OUTSIDE = "seen from this machine; try a phone on mobile data"


Keys = tuple[str, str]


def public_url(url: str, keys: Keys | None = None, *, runs: bool = True) -> Finding:
    """Check that browsers reach LiveKit at a URL, over TLS if they need it, and can join.

    `keys` are LiveKit's key and secret for a join; without them none is tried. `runs` says
    whether LiveKit is there already, where the URL leads to this machine.
    """
    parts = urlsplit(url)
    if is_loopback(parts.hostname):
        found = ok("public_url.local", f"{url}: for browsers on this machine only")
        return (_joined(url, keys) if runs else None) or found
    if parts.scheme == "ws":
        advice = "wss:// behind Caddy (docker compose), or make run HOST=… in a LAN"
        return warn("public_url.plain", f"{url}: browsers there allow no microphone", advice)
    return _asked(url, parts.hostname or "", keys)


def _asked(url: str, host: str, keys: Keys | None) -> Finding:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        advice = (
            "set its A record to this host's public address, or give another name: DOMAIN in .env "
            "for docker compose, else LIVEKIT_PUBLIC_URL"
        )
        found = f"{url}: {host} cannot be resolved: {error.strerror}"
        return fail("public_url.no_name", found, advice)
    try:
        trusted = ssl.create_default_context()
        answer = asked(url, verify=trusted, timeout=WITHIN_S)
    except httpx.ConnectError as error:
        if _certificate_fault(error):
            advice = "look at Caddy's log: it fetches a certificate once 80 and 443 are open"
            return fail("public_url.certificate", f"{url}: {error}", advice)
        return _away(url, error)
    except httpx.HTTPError as error:
        return _away(url, error)
    if not answer.is_success:
        found = f"{url}: answers with {answer.status_code}"
        return warn("public_url.strange", found, "Caddy's log shows which service it asked")
    return _joined(url, keys) or ok("public_url.ok", f"{url} answers over TLS ({OUTSIDE})")


def _joined(url: str, keys: Keys | None) -> Finding | None:
    """Join as a browser does; return a finding if that fails."""
    refusal = as_browser(url, *keys) if keys is not None else None
    if refusal is None:
        return None
    if refusal.kind in ("key", "secret", "clock"):
        advice = "LIVEKIT_PUBLIC_URL=… leads to the LiveKit of LIVEKIT_URL, with the same key"
        return fail("public_url.refused", refusal.sentence, advice)
    advice = "have the server in front pass WebSockets on to LiveKit (deploy/routes.caddy does)"
    return fail("public_url.no_upgrade", refusal.sentence, advice)


def _away(url: str, error: httpx.HTTPError) -> Finding:
    advice = "start Caddy, open 80 and 443/tcp; many routers cannot reach their own public address"
    found = f"{url} does not answer: {type(error).__name__} ({OUTSIDE}){proxy_hint(url)}"
    return warn("public_url.away", found, advice)


def _certificate_fault(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
