"""`python -m token_service.mcp`: the MCP server over stdio, for a token service at an address."""

import argparse
import os

from protocol.config.proxies import keep_loopback_direct
from token_service.mcp.tools import make_server

HERE = "http://127.0.0.1:8080"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m token_service.mcp",
        description="Serve MCP over stdio.",
        epilog="The API key, if the token service asks for one, is in MOSHI_ROOMS_KEY.",
    )
    parser.add_argument("url", nargs="?", default=HERE, help=f"of the token service ({HERE})")
    url = parser.parse_args().url
    keep_loopback_direct()
    make_server(url.rstrip("/"), os.environ.get("MOSHI_ROOMS_KEY", "")).run("stdio")


if __name__ == "__main__":
    main()
