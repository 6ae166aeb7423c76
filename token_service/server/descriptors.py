"""How many connections this process may hold: it asks for the descriptors that they take."""

import resource

from protocol.errors import InvalidInput
from token_service.service import OTHER_CONNECTIONS, STREAMS

CONNECTIONS = 1000
ACCEPTED = 32  # at a time: asyncio's loop accepts so many before it looks at any of them
OTHERS = STREAMS + OTHER_CONNECTIONS + 8 * ACCEPTED + 50  # redis, those on their way, files
LEAST = 50


def connections() -> int:
    """Raise the limit of descriptors as far as it is needed and allowed; give what fits.

    Raises `InvalidInput` where too few are allowed to serve anybody.
    """
    wanted = CONNECTIONS + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fit = CONNECTIONS if soft == resource.RLIM_INFINITY else min(CONNECTIONS, soft - OTHERS)
    if fit < LEAST:
        raise InvalidInput(f"ulimit -n is {soft}: expected at least {OTHERS + LEAST}")
    return fit
