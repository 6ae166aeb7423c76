"""An MCP server that finds passages of a handbook by plain word matching. Over stdin, or HTTP."""

import argparse
import math
import re
from collections import Counter
from pathlib import Path

from mcp.server import MCPServer

HANDBOOK = Path(__file__).with_suffix(".md")
PASSAGES = 2  # of a search

server = MCPServer("handbook")


def words(text: str) -> list[str]:
    """Return the words of a text, shortened so that "lights" and "light" are one."""
    return [word[:5] for word in re.findall(r"[a-z]{3,}", text.lower())]


def passages() -> list[str]:
    """Return the handbook's sections, each with its heading."""
    text = HANDBOOK.read_text(encoding="utf-8")
    return [part.strip() for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]


def best(question: str, sections: list[str]) -> list[str]:
    """Return the sections that share most words with a question; rare words count more."""
    held = [Counter(words(section)) for section in sections]
    rarity = {
        word: math.log(len(held) / sum(word in each for each in held))
        for word in {word for each in held for word in each}
    }

    def score(each: Counter[str]) -> float:
        return sum(rarity.get(word, 0.0) for word in set(words(question)) & each.keys())

    ranked = sorted(zip(map(score, held), sections, strict=True), reverse=True)
    return [section for points, section in ranked[:PASSAGES] if points > 0.0]


@server.tool()
def search_handbook(question: str) -> str:
    """Find the passages of the router's handbook that answer a question."""
    return "\n\n".join(best(question, passages())) or "The handbook says nothing about that."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="serve over HTTP at this port; else over stdin")
    if (port := parser.parse_args().port) is None:
        server.run()
    else:
        server.run("streamable-http", port=port)
