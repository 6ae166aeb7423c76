"""The files that Caddy reads and serves in a local network: the authority, and how to trust it."""

import shutil
from pathlib import Path
from string import Template

from deploy.lan.authority import keep_authority
from deploy.lan.local_network import Lan
from deploy.private_file import write_privately
from protocol.config.settings import USER_FILE

AUTHORITY = USER_FILE.parent / "authority"  # outlives a checkout: phones trust it once
PAGE = Path(__file__).with_name("welcome.html")


def write_welcome(lan: Lan, folder: Path) -> str:
    """Write the authority and the welcome page; return the authority's fingerprint."""
    own = lan.folder_in(folder)
    served = own / "welcome"
    served.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(own / "caddy", ignore_errors=True)  # a certificate of an older authority
    authority = keep_authority(AUTHORITY)
    write_privately(own / "authority.key", authority.key_pem)
    write_privately(served / "authority.crt", authority.pem)
    text = Template(PAGE.read_text(encoding="utf-8")).substitute(
        address=lan.address, fingerprint=authority.fingerprint
    )
    write_privately(served / "index.html", text)
    return authority.fingerprint
