"""`python -m token_service.mcp`: the MCP server over stdio, for a token service at an address.

The address is the first argument, else this machine's; the API key is in `MOSHI_ROOMS_KEY`.
"""

import os
import sys

from protocol.config.proxies import keep_loopback_direct
from token_service.mcp.tools import make_server

HERE = "http://127.0.0.1:8080"


def main() -> None:
    keep_loopback_direct()
    url = sys.argv[1] if len(sys.argv) > 1 else HERE
    make_server(url.rstrip("/"), os.environ.get("MOSHI_ROOMS_KEY", "")).run("stdio")


if __name__ == "__main__":
    main()
