"""A server's certificate for tests, signed by the local authority as Caddy signs."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.lan.authority import Authority


def write_certificate(authority: Authority, name: str, path: Path) -> None:
    """Write a certificate for an IP address or a host's name, and its key."""
    try:
        subject: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = authority.certificate.subject
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        x509.CertificateBuilder(issuer, x509.Name([]), key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([subject]), critical=True)
        .add_extension(signer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    made = Authority(certificate, key)
    path.write_text(made.pem + made.key_pem)
