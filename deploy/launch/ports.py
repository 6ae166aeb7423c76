"""Ports of this machine: whether one is free, and which process holds it."""

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
    """A port that one of our processes will bind."""

    number: int
    use: str  # its purpose, in words
    setting: str  # the setting that moves it
    host: str = "127.0.0.1"
    protocol: Protocol = "tcp"
    host_setting: str = "HOST"  # the setting that names the host


def is_free(port: Port) -> bool:
    """Return whether a port can be bound now. Raises `InvalidInput` for a foreign host."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, _KINDS[port.protocol]) as probe:
        if port.protocol == "tcp":  # as servers do: a closed connection may linger
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
    """Return command and pid of the process that holds a port, as far as this user may see."""
    for connection in psutil.net_connections(kind=port.protocol):
        listens = port.protocol == "udp" or connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr[1] == port.number:
            return _describe(connection.pid)
    return STRANGER if port.number >= 1024 else SYSTEM


def taken(ports: list[Port]) -> list[str]:
    """Return a sentence for each port in use: its number, use, holder and setting.

    Raises `InvalidInput` for a host that is not this machine's.
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
        command = " ".join([Path(program).name, *arguments]).strip()  # without the folder
        return f"`{command[:80]}` (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
