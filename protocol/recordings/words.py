"""The words of a recording as JSON to which its writer appends. Pure.

A first line up to the list of segments, a line for each segment, and a last line that closes the
list. An append overwrites the last line. Who reads meanwhile may get a piece of the next segment in
its place; all lines before it are whole.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

LIST, CLOSED = "segments", b"\n]}\n"


def first_line(about: dict[str, Any]) -> bytes:
    """Return the first line, without its end: what the words are of."""
    return json.dumps(about | {LIST: []}, ensure_ascii=False).encode()[:-2]


def segment_line(segment: dict[str, Any]) -> bytes:
    """Return the line of a segment, without what divides it from others."""
    return json.dumps(segment, ensure_ascii=False).encode()


def next_lines(segments: Iterable[bytes], *, are_first: bool) -> bytes:
    """Return lines of segments as they follow the first line, or other segments."""
    return (b"\n" if are_first else b",\n") + b",\n".join(segments)


def last_line(duration_s: float) -> bytes:
    """Return the last line with the line end before it; it covers that of any shorter sound."""
    return f'\n], "duration_s": {duration_s:.3f}}}\n'.encode()


def segment_lines(words: Iterable[bytes]) -> Iterator[bytes]:
    """Return each segment's line from the lines of whole words."""
    lines = (line.rstrip(b",\n") for line in words)
    return itertools.takewhile(
        lambda line: not line.startswith(b"]"), itertools.islice(lines, 1, None)
    )


def whole_words(content: bytes) -> bytes:
    """Return words as whole JSON that were read while they were written, or in a power cut."""
    end = content.rfind(b"\n", 0, -1)
    is_whole = content.endswith(b"}\n") and content[end + 1 :].startswith(b"]")
    if is_whole or end < 0:
        return content
    return content[:end].removesuffix(b",") + CLOSED
