"""What Caddy serves in a local network: the certificate, and how to trust who signed it."""

from pathlib import Path
from string import Template

from deploy.installers import PROJECT
from deploy.lan.certificates import keep_authority, write_certificate
from deploy.lan.local_network import Lan
from deploy.private_file import write_privately
from protocol.config.settings import USER_FILE

AUTHORITY = USER_FILE.parent / "authority"  # outlives a checkout: phones trust it once
PAGE = PROJECT / "deploy" / "welcome.html"


def lay_out(lan: Lan, folder: Path) -> str:
    """Write certificate and welcome; gives the authority's fingerprint."""
    own = lan.folder_in(folder)
    (own / "welcome").mkdir(parents=True, exist_ok=True)
    authority = keep_authority(AUTHORITY)
    write_certificate(authority, lan.host, own / "tls.pem")
    write_privately(own / "welcome" / "authority.crt", authority.pem)
    text = Template(PAGE.read_text(encoding="utf-8")).substitute(
        address=lan.address, fingerprint=authority.fingerprint
    )
    write_privately(own / "welcome" / "index.html", text)
    return authority.fingerprint
