"""A certificate authority of one's own for a local network, and certificates from it.

The authority is made once and kept, so that a phone has to trust it once. It can vouch for private
addresses and local names only (name constraints): who trusts it trusts nobody with the internet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.private_file import write_privately
from protocol.config.addresses import PRIVATE_NETWORKS, is_private
from protocol.errors import InvalidInput

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=90)  # phones refuse more than 825; a new one at each start
CLOCK_SLACK = timedelta(days=1)  # a phone's clock may be behind
RENEW_BEFORE = timedelta(days=30)

LOCAL_NAMES = ("localhost", "local", "lan", "internal", "home.arpa", "test")


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        """For comparing by eye: SHA-256, as phones show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def pem(self) -> str:
        """What a phone has to trust."""
        return _pem(self.certificate)


def keep_authority(folder: Path) -> Authority:
    """The authority that is kept in a folder, made where there is none or it ends soon."""
    path = folder / "authority.pem"
    if path.exists():
        text = path.read_bytes()
        kept = x509.load_pem_x509_certificate(text)
        key = serialization.load_pem_private_key(text, None)
        if kept.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE:
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return Authority(kept, key)
    made = make_authority()
    folder.mkdir(parents=True, exist_ok=True)
    write_privately(path, _pem(made.certificate) + _key_pem(made.key))
    return made


def make_authority() -> Authority:
    """A new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "moshi-rooms in this network")])
    certificate = (
        _begun(name, name, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_private_only(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def write_certificate(
    authority: Authority, address: str, path: Path, names: Sequence[str] = ("localhost",)
) -> None:
    """A certificate for an address and names, with its key, into one private file.

    Raises `InvalidInput` for an address that is not private.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    public, issuer = key.public_key(), authority.certificate
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _begun(name, issuer.subject, public, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(address, names)), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    write_privately(path, _pem(certificate) + _pem(issuer) + _key_pem(key))


def _alternatives(address: str, names: Sequence[str]) -> list[x509.GeneralName]:
    if not is_private(address):
        raise InvalidInput(f"HOST={address!r}: expected an address of a private network")
    addresses = {IPv4Address(address), IPv4Address("127.0.0.1")}
    return [*map(x509.DNSName, names), *map(x509.IPAddress, sorted(addresses))]


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + life)
    )


def _private_only() -> x509.NameConstraints:
    networks = [x509.IPAddress(IPv4Network(each)) for each in PRIVATE_NETWORKS]
    networks += [x509.IPAddress(IPv6Network(each)) for each in ("fc00::/7", "fe80::/10", "::1/128")]
    return x509.NameConstraints([*networks, *map(x509.DNSName, LOCAL_NAMES)], None)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
