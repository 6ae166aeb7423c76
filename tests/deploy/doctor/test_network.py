"""Doctor: ports and UDP; sockets of the test's own hold and block them."""

import ctypes
import os
import socket
import struct
from pathlib import Path

import pytest

from deploy.doctor import network
from deploy.doctor.finding import Finding, State
from deploy.lan.local_network import own_address
from deploy.launch.ports import Port
from harness import servers

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
UNUSED_ADDRESS = "192.0.2.7"  # TEST-NET-1: no machine has it


def told(finding: Finding) -> tuple[str, State]:
    """Return a finding's code and state."""
    return finding.code, finding.state


def dropping_socket() -> socket.socket:
    """Return a UDP socket that receives nothing: its filter's one line takes 0 bytes."""
    deaf = socket.socket(type=socket.SOCK_DGRAM)
    refuse_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: ret 0
    program = struct.pack("HL", 1, ctypes.addressof(refuse_all))
    deaf.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    return deaf


def test_free_ports_are_told_in_one_line() -> None:
    """Free ports are one finding, with their uses."""
    numbers = [servers.free_port(), servers.free_port()]
    [finding] = network.ports([Port(number, "LiveKit", "X") for number in numbers])

    assert told(finding) == ("ports.free", State.OK)
    assert finding.found == f"free: tcp {numbers[0]} (LiveKit), tcp {numbers[1]} (LiveKit)"


def test_a_taken_port_is_told_with_its_holder() -> None:
    """A taken port is a failure with its holder and the setting that moves it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        number = held.getsockname()[1]
        [finding] = network.ports([Port(number, "worker's health", "WORKER_PORT")])

    assert told(finding) == ("ports.taken", State.FAIL)
    assert f"(pid {os.getpid()})" in finding.found
    assert finding.advice == "end that, or set WORKER_PORT=…"


def test_a_port_that_its_own_server_holds_is_no_fault(redis_url: str) -> None:
    """A port that the product's own server holds is OK."""
    number = int(redis_url.rsplit(":", 1)[1].split("/")[0])
    [finding] = network.ports([Port(number, "redis", "REDIS_PORT")])

    assert told(finding) == ("ports.ours", State.OK)


def test_a_port_on_another_machines_address_is_a_failure() -> None:
    """A port on another machine's address is a failure with an address of this one."""
    [finding] = network.ports([Port(servers.free_port(), "page over https", "X", UNUSED_ADDRESS)])

    assert told(finding) == ("ports.no_address", State.FAIL)
    here = f"here {own_address()}"
    assert finding.advice == f"HOST='{UNUSED_ADDRESS}': expected an address of this machine, {here}"


def test_udp_that_arrives_is_ok() -> None:
    """A datagram from this machine's own address to itself is OK."""
    port = servers.free_port(socket.SOCK_DGRAM)

    assert told(network.udp(own_address(), port)) == ("udp.ok", State.OK)


def test_udp_that_is_dropped_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram that is dropped is a failure with advice about the firewall."""
    monkeypatch.setattr(network, "_receiver", dropping_socket)
    monkeypatch.setattr(network, "UDP_WITHIN_S", 0.05)
    finding = network.udp("127.0.0.1", servers.free_port(socket.SOCK_DGRAM))

    assert told(finding) == ("udp.blocked", State.FAIL)
    assert "in the firewall" in finding.advice


def test_a_udp_port_in_use_is_not_tried() -> None:
    """A UDP port that is in use already is OK and is not tried."""
    with socket.socket(type=socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))

        assert told(network.udp(*held.getsockname())) == ("udp.held", State.OK)


def test_udp_on_another_machines_address_is_a_warning() -> None:
    """UDP on another machine's address is a warning."""
    finding = network.udp(UNUSED_ADDRESS, servers.free_port(socket.SOCK_DGRAM))

    assert told(finding) == ("udp.elsewhere", State.WARN)


def test_own_address_is_one_of_this_machines(tmp_path: Path) -> None:
    """A server can listen on `own_address`."""
    with socket.create_server((own_address(), 0)) as there:
        assert there.getsockname()[0] == own_address()
