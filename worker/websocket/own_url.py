"""The address at which token services reach this worker."""

import socket
from urllib.parse import urlsplit

from protocol.config.addresses import netloc
from protocol.config.settings import Settings

ALL = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # of WORKER_HOST: listen on all addresses


def own_url(settings: Settings) -> str:
    """Return the worker's URL, of the address that it listens on.

    If it listens on all, it is the one from which it reaches redis, which token services reach too.
    """
    host = settings.worker_host
    if (family := ALL.get(host)) is not None:
        host = _address_towards(settings.redis_url, family)
    return f"http://{netloc(host, settings.worker_port)}"


def _address_towards(url: str, family: socket.AddressFamily) -> str:
    """Return the address of this machine from which packets to a URL's host would leave."""
    parts = urlsplit(url)
    usual = "127.0.0.1" if family is socket.AF_INET else "::1"
    if not parts.hostname:  # a unix socket: redis is on this machine
        return usual
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect((parts.hostname, parts.port or 6379))
        except OSError:
            return usual
        return str(probe.getsockname()[0])
