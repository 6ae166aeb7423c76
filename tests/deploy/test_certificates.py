"""The local network's own authority, with the standard library's TLS as the one who checks."""

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from deploy.lan import certificates
from deploy.lan.certificates import Authority, keep_authority, make_authority, write_certificate
from protocol.errors import InvalidInput

IOS_LONGEST_LIFE = timedelta(days=825)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One authority for all tests."""
    return make_authority()


def shake_hands(authority: Authority, certificate: Path, name: str) -> None:
    """A TLS handshake of somebody who trusts the authority with a server that has a certificate."""
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


@pytest.mark.parametrize("name", ["192.168.1.5", "127.0.0.1", "localhost"])
def test_who_trusts_the_authority_trusts_the_address(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    """One certificate serves the network's address and this machine."""
    path = tmp_path / "tls.pem"
    write_certificate(authority, "192.168.1.5", path)
    shake_hands(authority, path, name)

    assert path.stat().st_mode & 0o777 == 0o600


def test_it_vouches_for_no_other_address(authority: Authority, tmp_path: Path) -> None:
    """A certificate is for the address that it names."""
    write_certificate(authority, "192.168.1.5", tmp_path / "tls.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(authority, tmp_path / "tls.pem", "192.168.1.6")


def test_nobody_can_use_it_against_the_internet(authority: Authority, tmp_path: Path) -> None:
    """Even with its key in other hands: no certificate of it is good for a public name."""
    path = tmp_path / "tls.pem"
    write_certificate(authority, "192.168.1.5", path, names=("bank.example",))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(authority, path, "bank.example")


@pytest.mark.parametrize("address", ["8.8.8.8", "talk.example", "fe80::1"])
def test_it_is_for_private_addresses_only(
    authority: Authority, tmp_path: Path, address: str
) -> None:
    """Elsewhere a certificate comes from a public authority."""
    with pytest.raises(InvalidInput, match="expected an address of a private network"):
        write_certificate(authority, address, tmp_path / "tls.pem")


def test_phones_take_it(authority: Authority, tmp_path: Path) -> None:
    """iOS asks for at most 825 days, the purpose, and the address among the alternatives."""
    write_certificate(authority, "10.0.0.7", tmp_path / "tls.pem")
    made = x509.load_pem_x509_certificate((tmp_path / "tls.pem").read_bytes())
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    lifetime = made.not_valid_after_utc - made.not_valid_before_utc

    assert lifetime < IOS_LONGEST_LIFE
    assert list(purposes) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_authority_is_kept(tmp_path: Path) -> None:
    """A phone has to trust it once; its key is for this user alone."""
    first, second = keep_authority(tmp_path / "own"), keep_authority(tmp_path / "own")

    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "own" / "authority.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in first.pem


def test_an_authority_that_ends_soon_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate must not outlive who signed it."""
    monkeypatch.setattr(certificates, "AUTHORITY_LIFE", timedelta(days=20))
    old = keep_authority(tmp_path)
    monkeypatch.undo()

    assert keep_authority(tmp_path).fingerprint != old.fingerprint
