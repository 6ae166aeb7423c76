"""The local network's own authority, checked by the standard library's TLS."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.lan import authority as authorities
from deploy.lan.authority import Authority, keep_authority, make_authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return one authority for all tests."""
    return make_authority()


def write_certificate(authority: Authority, name: x509.GeneralName, path: Path) -> None:
    """Write a certificate for a name, signed as Caddy signs, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = authority.certificate.subject
    certificate = (
        x509.CertificateBuilder(issuer, x509.Name([]), key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False
        )
        .sign(authority.key, hashes.SHA256())
    )
    path.write_text(Authority(certificate, key).pem + Authority(certificate, key).key_pem)


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
    """The name constraints permit the addresses of local networks and of this machine."""
    name = x509.IPAddress(ipaddress.ip_address(address))
    write_certificate(authority, name, tmp_path / "tls.pem")
    shake_hands(authority, tmp_path / "tls.pem", address)


@pytest.mark.parametrize(
    "name", [x509.DNSName("bank.example"), x509.IPAddress(ipaddress.ip_address("8.8.8.8"))]
)
def test_a_stolen_key_cannot_be_used_against_the_internet(
    authority: Authority, tmp_path: Path, name: x509.DNSName | x509.IPAddress
) -> None:
    """Even with its key stolen, no certificate of the authority is valid for a public name."""
    write_certificate(authority, name, tmp_path / "tls.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(authority, tmp_path / "tls.pem", str(name.value))


def test_the_authority_is_kept(tmp_path: Path) -> None:
    """A phone has to trust it once; its key is for this user alone."""
    first, second = keep_authority(tmp_path / "own"), keep_authority(tmp_path / "own")

    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "own" / "authority.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in first.pem


def test_an_authority_that_ends_soon_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate must not outlive the authority that signed it."""
    monkeypatch.setattr(authorities, "LIFE", timedelta(days=20))
    old = keep_authority(tmp_path)
    monkeypatch.undo()

    assert keep_authority(tmp_path).fingerprint != old.fingerprint
