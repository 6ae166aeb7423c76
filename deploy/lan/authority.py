"""The certificate authority of a local network: made once and kept, so that a phone trusts it once.

Name constraints bind it to private addresses and local names: a device that trusts it is not
exposed to forged certificates of the internet. Caddy's own authority (`tls internal`) has none, so
Caddy signs with this one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.private_file import write_privately

LIFE = timedelta(days=3650)
CLOCK_SLACK = timedelta(days=1)  # a phone's clock may be behind
RENEW_BEFORE = timedelta(days=30)
PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",  # carriers' and VPNs'
    "127.0.0.0/8",
)
LOCAL_NAMES = ("localhost", "local", "lan", "internal", "home.arpa", "test")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that may sign others, and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint as phones show it, for comparing by eye."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def pem(self) -> str:
        """The certificate, which a phone has to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        """The private key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


def keep_authority(folder: Path) -> Authority:
    """Return the authority that a folder keeps; make one if there is none or it expires soon."""
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
    write_privately(path, made.pem + made.key_pem)
    return made


def make_authority() -> Authority:
    """Return a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, now = key.public_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "moshi-rooms in this network")])
    certificate = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(_private_only(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def is_private(address: str) -> bool:
    """Return whether an IPv4 address is of a private network or of this machine."""
    try:
        number = IPv4Address(address)
    except ValueError:
        return False
    return any(number in IPv4Network(network) for network in PRIVATE_NETWORKS)


def _private_only() -> x509.NameConstraints:
    networks = [x509.IPAddress(IPv4Network(each)) for each in PRIVATE_NETWORKS]
    networks += [x509.IPAddress(IPv6Network(each)) for each in ("fc00::/7", "fe80::/10", "::1/128")]
    return x509.NameConstraints([*networks, *map(x509.DNSName, LOCAL_NAMES)], None)


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
