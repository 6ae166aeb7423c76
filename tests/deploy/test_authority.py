"""The local network's own authority, checked by the standard library's TLS."""

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.lan import authority as authorities
from deploy.lan.authority import Authority, keep_authority, make_authority
from harness.certificate import write_certificate


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Make one authority for all tests."""
    return make_authority()


def shake_hands(authority: Authority, certificate: Path, name: str) -> None:
    """Connect over TLS, trusting the authority, to a server that has a certificate."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cadata=authority.pem)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server_side.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with trusting.wrap_socket(ours, server_hostname=name):
            pass
    finally:
        ours.close()
        serving.join()


@pytest.mark.parametrize("address", ["192.168.1.5", "127.0.0.1", "fe80::1"])
def test_a_device_that_trusts_the_authority_trusts_a_private_address(
    authority: Authority, tmp_path: Path, address: str
) -> None:
    """A client that trusts the authority accepts its certificate for a private address."""
    write_certificate(authority, address, tmp_path / "tls.pem")
    shake_hands(authority, tmp_path / "tls.pem", address)


@pytest.mark.parametrize("name", ["bank.example", "8.8.8.8"])
def test_a_certificate_for_a_public_name_is_refused(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    """A client that trusts the authority refuses its certificate for a public name."""
    write_certificate(authority, name, tmp_path / "tls.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(authority, tmp_path / "tls.pem", name)


def test_the_authority_is_kept_between_runs(tmp_path: Path) -> None:
    """The authority is kept between runs, and only its user can read its key."""
    first, second = keep_authority(tmp_path / "own"), keep_authority(tmp_path / "own")

    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "own" / "authority.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in first.pem


def test_an_authority_that_ends_soon_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that ends within a certificate's life is replaced."""
    monkeypatch.setattr(authorities, "LIFE", timedelta(days=20))
    old = keep_authority(tmp_path)
    monkeypatch.undo()

    assert keep_authority(tmp_path).fingerprint != old.fingerprint
