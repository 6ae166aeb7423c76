"""The address for media that LiveKit tells browsers, on a host for docker compose."""

import socket
from ipaddress import ip_address

import psutil

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.lan.local_network import own_address
from protocol.config.addresses import is_loopback


def media_address(domain: str, node_ip: str) -> list[Finding]:
    """Check that it is an address of the domain; no finding if the domain has none."""
    given = set(node_ip.replace(" ", "").split(",")) if node_ip else set[str]()
    if not all(map(_is_address, given)):
        advice = "NODE_IP is this host's public address, as 203.0.113.7, or empty"
        return [fail("media_address.wrong", f"NODE_IP={node_ip!r}: expected an address", advice)]
    public = _addresses_of(domain)
    if not public:
        return []  # `public_url` says so
    where = ", ".join(sorted(public))
    if all(map(is_loopback, public)):
        return [_seen_from_here(domain, where, node_ip)]
    if (given or _own_addresses()) & public:
        return [ok("media_address.ok", f"browsers are told {where}, where {domain} leads")]
    if node_ip:
        found = f"NODE_IP={node_ip}, and {domain} leads to {where}"
        advice = "correct if media has an address of its own; else set NODE_IP to that one"
        return [warn("media_address.differs", found, advice)]
    found = f"{domain} leads to {where}, which no network card of this host has"
    advice = f"NODE_IP={where} in .env; else LiveKit tells browsers an inner address"
    return [warn("media_address.inner", found, advice)]


def _seen_from_here(domain: str, where: str, node_ip: str) -> Finding:
    """Judge a domain that leads to the loopback, as a line in /etc/hosts makes it do."""
    told = node_ip or own_address()
    if node_ip or is_loopback(_host(domain)):
        return ok("media_address.ok", f"browsers are told {told}; {domain} leads to {where} here")
    found = f"{domain} leads to {where} on this host, so its public address is not seen from here"
    advice = f"NODE_IP=<its public address> in .env, unless that is {told}, which browsers are told"
    return warn("media_address.hidden", found, advice)


def _host(domain: str) -> str:
    return domain.partition(":")[0]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _addresses_of(domain: str) -> set[str]:
    try:
        found = socket.getaddrinfo(_host(domain), None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}


def _own_addresses() -> set[str]:
    return {each.address for card in psutil.net_if_addrs().values() for each in card}
