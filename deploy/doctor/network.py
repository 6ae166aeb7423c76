"""Ports: which process holds each, and whether UDP reaches LiveKit's from this machine."""

import errno
import socket

from deploy.doctor.finding import Finding, fail, ok, warn
from deploy.launch.ports import STRANGER, SYSTEM, Port, holder, is_free
from protocol.errors import InvalidInput

UDP_WITHIN_S = 1.0
PROBE = b"moshi-rooms doctor"

# Parts of the command of the process that normally has the port.
HOLDERS = {
    "redis": ("redis-server", "valkey-server"),
    "LiveKit": ("livekit-server",),
    "LiveKit's media": ("livekit-server",),
    "worker's health": ("-m worker",),
    "page and token service": ("-m token_service",),
    "page over https": ("caddy",),
    "how to trust it": ("caddy",),
    "Prometheus": ("prometheus",),
    "Grafana": ("grafana",),
    "Jaeger's collector": ("jaeger",),
    "Jaeger's page": ("jaeger",),
}


def ports(wanted: list[Port]) -> list[Finding]:
    """Return a finding for each port in use, and one for all free ports."""
    findings: list[Finding] = []
    free: list[str] = []
    for port in wanted:
        name = f"{port.protocol} {port.number} ({port.use})"
        try:
            if is_free(port):
                free.append(name)
                continue
        except InvalidInput as error:
            found = f"{port.host} is not an address of this machine: {name} cannot be opened there"
            findings.append(fail("ports.no_address", found, str(error)))
            continue
        by = holder(port)
        if not port.setting and by == SYSTEM and not _answers(port):
            free.append(name)  # only root may bind it, and no process listens
            continue
        findings.append(_held(port, name, by))
    return [*findings, ok("ports.free", f"free: {', '.join(free)}")] if free else findings


def udp(address: str, number: int) -> Finding:
    """Send a datagram to the media port, from and to the address that clients get."""
    found = f"{address}:{number}"
    with _receiver() as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.settimeout(UDP_WITHIN_S)
        try:
            receiver.bind((address, number))
            sender.bind((address, 0))
            sender.sendto(PROBE, (address, number))
            if receiver.recv(len(PROBE)) == PROBE:
                return ok("udp.ok", f"UDP gets through to {found} from this machine's own address")
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                advice = "correct for a router that forwards UDP; else correct HOST or NODE_IP"
                return warn("udp.elsewhere", f"{address} is not on this machine", advice)
            if error.errno == errno.EADDRINUSE:
                return ok("udp.held", f"{found} is open already, so it was not tested")
    advice = f"open udp {number} in the firewall; without UDP, media falls back to slower TCP"
    return fail("udp.blocked", f"UDP to {found} does not arrive, even from this machine", advice)


def _receiver() -> socket.socket:
    return socket.socket(type=socket.SOCK_DGRAM)


def _held(port: Port, name: str, by: str) -> Finding:
    if any(command in by for command in HOLDERS.get(port.use, ())):
        return ok("ports.ours", f"{name} is held by its own program: {by}")
    if not port.setting and by == STRANGER:
        advice = "compose itself, if it runs already; run doctor as root to see the process"
        return warn("ports.unseen", f"{name} is held by {by}", advice)
    advice = f"end that, or set {port.setting}=…" if port.setting else "end that: compose needs it"
    return fail("ports.taken", f"{name} is taken by {by}", advice)


def _answers(port: Port) -> bool:
    """Return whether a process listens on a port that only root may bind."""
    with socket.socket() as probe:
        probe.settimeout(UDP_WITHIN_S)
        return probe.connect_ex((port.host, port.number)) == 0
