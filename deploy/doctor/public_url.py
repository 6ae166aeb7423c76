"""The address that browsers use. Asked from this machine, which is not quite the world."""

import socket
import ssl
from urllib.parse import urlsplit

import httpx

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.doctor.servers import http_of
from protocol.addresses import is_loopback

WITHIN_S = 5.0
OUTSIDE = "seen from this machine; a phone on mobile data tells about the world"


def public_url(url: str) -> Finding:
    """Whether browsers find LiveKit there, over TLS where they need it."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname):
        return ok("public_url.local", f"{url}: browsers on this machine alone")
    if parts.scheme == "ws":
        advice = "wss:// behind Caddy (docker compose), or make run HOST=… in a LAN"
        return warn("public_url.plain", f"{url}: browsers there will give no microphone", advice)
    return _asked(url, parts.hostname or "")


def _asked(url: str, host: str) -> Finding:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        advice = "set the domain's A record to this host's public address; LIVEKIT_PUBLIC_URL=…"
        return fail("public_url.no_name", f"{url}: {host} is no name: {error.strerror}", advice)
    try:
        trusted = ssl.create_default_context()
        answer = httpx.get(http_of(url), verify=trusted, timeout=WITHIN_S, trust_env=False)
    except httpx.ConnectError as error:
        if _certificate_fault(error):
            advice = "look at Caddy's log: it fetches a certificate once 80 and 443 are open"
            return fail("public_url.certificate", f"{url}: {error}", advice)
        return _away(url, error)
    except httpx.HTTPError as error:
        return _away(url, error)
    if not answer.is_success:
        found = f"{url}: answers with {answer.status_code}"
        return warn("public_url.strange", found, "Caddy's log says which service it asked")
    return ok("public_url.ok", f"{url} answers over TLS ({OUTSIDE})")


def _away(url: str, error: httpx.HTTPError) -> Finding:
    advice = "start Caddy and open 80 and 443/tcp; many routers do not lead back to themselves"
    found = f"{url} does not answer: {type(error).__name__} ({OUTSIDE})"
    return warn("public_url.away", found, advice)


def _certificate_fault(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
