"""The address for media that LiveKit tells browsers, on a host for docker compose."""

import socket

import psutil

from deploy.doctor.finding import Finding, ok, warn


def media_address(domain: str, node_ip: str) -> list[Finding]:
    """Check that it is an address of the domain; no finding if the domain has none."""
    public = _addresses_of(domain)
    if not public:
        return []  # `public_url` says so
    told = set(node_ip.replace(" ", "").split(",")) if node_ip else _own_addresses()
    where = ", ".join(sorted(public))
    if told & public:
        return [ok("media_address.ok", f"browsers are told {where}, where {domain} leads")]
    if node_ip:
        found = f"NODE_IP={node_ip}, and {domain} leads to {where}"
        advice = "correct if media has an address of its own; else set NODE_IP to that one"
        return [warn("media_address.differs", found, advice)]
    found = f"{domain} leads to {where}, which no network card of this host has"
    advice = f"NODE_IP={where} in .env; else LiveKit tells browsers an inner address"
    return [warn("media_address.inner", found, advice)]


def _addresses_of(domain: str) -> set[str]:
    host = domain.partition(":")[0]
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}


def _own_addresses() -> set[str]:
    return {each.address for card in psutil.net_if_addrs().values() for each in card}
