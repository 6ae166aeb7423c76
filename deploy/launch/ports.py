"""Who holds a port of this machine. Knows no process of ours by name."""

import errno
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from deploy.lan.local_network import own_address
from protocol.errors import InvalidInput

Protocol = Literal["tcp", "udp"]
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
STRANGER = "a process of another user"
SYSTEM = "the system (a port below 1024)"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a process of ours is about to bind."""

    number: int
    use: str  # what for, in a person's words
    setting: str  # the setting that moves it
    host: str = "127.0.0.1"
    protocol: Protocol = "tcp"
    host_setting: str = "HOST"  # the setting that names the host


def is_free(port: Port) -> bool:
    """Say whether it could be bound now. Raises `InvalidInput` for a host that is not here."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, _KINDS[port.protocol]) as probe:
        if port.protocol == "tcp":  # as servers do: a connection that lingers is no holder
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
                raise InvalidInput(
                    f"{port.host_setting}={port.host!r}: expected an address of this machine, "
                    f"here {own_address()}"
                ) from error
            raise
    return True


def holder(port: Port) -> str:
    """The process that holds the port: its command and pid, as far as this user may see."""
    for connection in psutil.net_connections(kind=port.protocol):
        listens = port.protocol == "udp" or connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr[1] == port.number:
            return _describe(connection.pid)
    return STRANGER if port.number >= 1024 else SYSTEM


def taken(ports: list[Port]) -> list[str]:
    """One sentence for each port that is not free: which, what for, who has it, what to do.

    Raises `InvalidInput` for a host that is not here.
    """
    return [
        f"{port.protocol} port {port.number} ({port.use}) is taken by {holder(port)}; "
        f"{port.setting}=… moves it"
        for port in ports
        if not is_free(port)
    ]


def _describe(pid: int | None) -> str:
    if pid is None:
        return STRANGER
    try:
        process = psutil.Process(pid)
        program, *arguments = process.cmdline() or [process.name()]
        command = " ".join([Path(program).name, *arguments]).strip()  # its folder says little
        return f"`{command[:80]}` (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
